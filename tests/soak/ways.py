"""The ways to use a client: each makes calls by their plans and says what came of them."""

from __future__ import annotations

import asyncio
import random
import threading

from nupic_client import InferenceClient, NupicError, RetryPolicy, StreamingClient

from .plan import STREAM_FAULTS, UNARY_FAULTS, Plan, Seen

RETRIES = RetryPolicy(max_retries=2, initial_backoff=0.01, max_backoff=0.05)


class User:
    """One thread's or task's share of the traffic.

    Args:
        name: of the user, part of the names of its calls.
        seed: of its choices.
        url: of the server.
        shared: the clients that all users share, for streams and for answers at once.
    """

    def __init__(
        self, name: str, seed: int, url: str, shared: tuple[StreamingClient, InferenceClient]
    ) -> None:
        self.chance = random.Random(f"{seed} {name}")
        self.stream_client, self.infer_client = shared
        self._name, self._url = name, url
        self._calls = 0

    def plan(self, faults: tuple[str, ...] = STREAM_FAULTS) -> Plan:
        self._calls += 1
        plan = Plan.make(f"{self._name}.{self._calls}", self.chance, faults)
        if plan.fault == "once" and plan.at:  # only what has no text yet is sent again
            plan = Plan(plan.name, plan.tokens, plan.delay, plan.seed, "once", 0)
        return plan

    def options(self, plan: Plan) -> dict:
        return {"timeout": plan.timeouts, "request_id": plan.name, "max_tokens": 10_000}

    def fresh(self) -> StreamingClient:
        return StreamingClient("gpt.streaming", self._url, max_retries=RETRIES)


def _text(result) -> str:
    return result.only.ravel()[0]


def _calls_of_map(user: User) -> list[Plan]:
    return [user.plan(("fail", "break", "once", "garbage")) for _ in range(user.chance.randint(1, 6))]


def _inputs(plans: list[Plan]) -> list[dict]:
    return [{"text_input": [plan.prompt]} for plan in plans]


def _seen(plans: list[Plan], results: list) -> list[tuple[Plan, Seen]]:
    """Pair the results of `map` with their plans; an error stands in the place of its result."""
    assert len(results) == len(plans), f"{len(plans)} inputs, {len(results)} results"
    return [
        (plan, Seen("", result, unary=True) if isinstance(result, NupicError) else Seen(_text(result)))
        for plan, result in zip(plans, results, strict=True)
    ]


# --- blocking


def read(user: User, client: StreamingClient | None = None, *, chunks: int | None = None) -> list:
    """Read a stream to its end, or some chunks of it."""
    plan, given = user.plan(), []
    try:
        with (client or user.stream_client).stream(plan.prompt, **user.options(plan)) as stream:
            for text in stream:
                given.append(text)
                if len(given) == chunks:
                    return [(plan, Seen("".join(given), left=True))]
        assert stream.result().text == "".join(given)
    except NupicError as error:
        return [(plan, Seen("".join(given), error))]
    return [(plan, Seen("".join(given)))]


def break_off(user: User) -> list:
    return read(user, chunks=user.chance.randint(1, 8))


def drop(user: User) -> list:
    """Read a little and forget the stream."""
    plan, given = user.plan(), []
    try:
        stream = user.stream_client.stream(plan.prompt, **user.options(plan))
        given = [text for text, _ in zip(stream, range(user.chance.randint(1, 3)), strict=False)]
    except NupicError as error:
        return [(plan, Seen("".join(given), error))]
    return [(plan, Seen("".join(given), left=True))]


def call_back(user: User) -> list:
    plan, given = user.plan(), []
    try:
        user.stream_client.generate(plan.prompt, callback=given.append, **user.options(plan))
    except NupicError as error:
        return [(plan, Seen("".join(given), error))]
    return [(plan, Seen("".join(given)))]


def close_from_another_thread(user: User) -> list:
    plan, given = user.plan(), []
    try:
        stream = user.stream_client.stream(plan.prompt, **user.options(plan))
    except NupicError as error:
        return [(plan, Seen("", error))]
    timer = threading.Timer(user.chance.random() * 0.2, stream.close)
    timer.start()
    try:
        for text in stream:
            given.append(text)  # noqa: PERF402 - what came before an error counts
    except NupicError as error:
        return [(plan, Seen("".join(given), error, left=True))]
    finally:
        timer.join()
    return [(plan, Seen("".join(given), left=True))]


def use_a_fresh_client(user: User) -> list:
    with user.fresh() as client:
        return read(user, client)


def generate(user: User) -> list:
    plan = user.plan(UNARY_FAULTS)
    try:
        text = user.infer_client.generate(plan.prompt, **user.options(plan)).text
    except NupicError as error:
        return [(plan, Seen("", error, unary=True))]
    return [(plan, Seen(text))]


def infer(user: User) -> list:
    plan = user.plan(UNARY_FAULTS)
    options = {"timeout": plan.timeouts, "request_id": plan.name}
    try:
        return [(plan, Seen(_text(user.infer_client.infer(_inputs([plan])[0], **options))))]
    except NupicError as error:
        return [(plan, Seen("", error, unary=True))]


def map_many(user: User) -> list:
    plans = _calls_of_map(user)
    return _seen(
        plans, list(user.infer_client.map(_inputs(plans), concurrency=3, errors="return", timeout=60))
    )


SYNC = (
    read,
    read,
    break_off,
    drop,
    call_back,
    close_from_another_thread,
    use_a_fresh_client,
    generate,
    infer,
    map_many,
)


# --- async


async def aread(user: User, client: StreamingClient | None = None, *, chunks: int | None = None) -> list:
    plan, given = user.plan(), []
    try:
        async with (client or user.stream_client).astream(plan.prompt, **user.options(plan)) as stream:
            async for text in stream:
                given.append(text)
                if len(given) == chunks:
                    return [(plan, Seen("".join(given), left=True))]
    except NupicError as error:
        return [(plan, Seen("".join(given), error))]
    return [(plan, Seen("".join(given)))]


async def abreak_off(user: User) -> list:
    return await aread(user, chunks=user.chance.randint(1, 8))


async def acall_back(user: User) -> list:
    plan, given = user.plan(), []

    async def take(text: str) -> None:
        given.append(text)

    try:
        await user.stream_client.agenerate(plan.prompt, callback=take, **user.options(plan))
    except NupicError as error:
        return [(plan, Seen("".join(given), error))]
    return [(plan, Seen("".join(given)))]


async def cancel_a_task(user: User) -> list:
    """Cancel a task in the middle of a stream, or give it too little time."""
    plan, given = user.plan(), []

    async def work() -> None:
        async for text in user.stream_client.astream(plan.prompt, **user.options(plan)):
            given.append(text)  # noqa: PERF401 - what came before it is cancelled counts

    task = asyncio.ensure_future(work())
    if user.chance.random() < 0.5:
        await asyncio.sleep(user.chance.random() * 0.2)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    else:
        try:
            outcome = await asyncio.wait_for(task, user.chance.random() * 0.2)
        except (NupicError, asyncio.TimeoutError) as error:
            outcome = error
    cancelled = isinstance(outcome, (asyncio.CancelledError, asyncio.TimeoutError)) and not isinstance(
        outcome, NupicError
    )
    return [(plan, Seen("".join(given), None if cancelled else outcome, left=True))]


async def ause_a_fresh_client(user: User) -> list:
    async with user.fresh() as client:
        return await aread(user, client)


async def agenerate(user: User) -> list:
    plan = user.plan(UNARY_FAULTS)
    try:
        text = (await user.infer_client.agenerate(plan.prompt, **user.options(plan))).text
    except NupicError as error:
        return [(plan, Seen("", error, unary=True))]
    return [(plan, Seen(text))]


async def amap_many(user: User) -> list:
    plans = _calls_of_map(user)
    results = user.infer_client.amap(_inputs(plans), concurrency=3, errors="return", timeout=60)
    return _seen(plans, [result async for result in results])


ASYNC = (aread, aread, abreak_off, acall_back, cancel_a_task, ause_a_fresh_client, agenerate, amap_many)


def pause_after(outcomes: list[str]) -> float:
    """Seconds to wait, so that a server that is down is not asked a thousand times a second."""
    return 0.05 if "server killed" in outcomes else 0.0
