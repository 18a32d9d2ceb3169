"""An observer is told of each prompt of a map, sync and async: in the context of the call, however the map ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading

import pytest
from observe.recorder import Recorder, wait_until

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    InferenceError,
    NupicError,
    RetryPolicy,
    StreamingClient,
)
from nupic_client.testing import abort, fail, silence

QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01, max_backoff=0.05)


@pytest.fixture
def client(server, seen):
    with StreamingClient("gpt.streaming", server.url, observer=seen, max_retries=QUICK) as client:
        yield client


def read_map(client, prompts, **options):
    return list(client.map(prompts, **options))


def read_amap(client, prompts, **options):
    async def read():
        return [result async for result in client.amap(prompts, **options)]

    return asyncio.run(read())


BOTH = pytest.mark.parametrize("read", [read_map, read_amap])


@BOTH
def test_each_prompt_is_told_of(client, seen, read):
    results = read(client, ["hi"] * 30, concurrency=8, max_tokens=4)
    seen.check_pairs(30)
    assert {result.request_id for result in results} == {info.request_id for info in seen.infos}
    assert {(info.operation, info.streaming, info.sampling.max_tokens) for info in seen.infos} == {
        ("map", True, 4)
    }
    by_id = {result.request_id: result for result in results}
    for name, info, facts in seen.calls:
        if name == "end":
            outcome, result = facts[0], by_id[info.request_id]
            assert (outcome.timing, outcome.attempts) == (result.timing, result.attempts)
            assert outcome.output_bytes == len("Hello")
    assert seen.names.count("first") == 30


@BOTH
def test_failures_are_told_of(client, server, seen, read):
    server.reply = lambda request: [fail("broken")] if request.inputs["text_input"] == "bad" else ["Hello"]
    results = read(
        client, ["hi", "bad", ("hi", {"logprobs": 3}), ("hi", {"max_tokens": -1})], errors="return"
    )
    assert [isinstance(result, NupicError) for result in results] == [False, True, True, True]
    seen.check_pairs(3)  # the last one was refused before
    assert sorted(type(outcome.error).__name__ for outcome in seen.outcomes) == [
        "ConfigurationError",
        "InferenceError",
        "NoneType",
    ]
    assert isinstance(results[1], InferenceError)
    assert isinstance(results[3], ConfigurationError)


@BOTH
def test_a_server_without_capacity(client, server, seen, read):
    replies = [[abort("RESOURCE_EXHAUSTED", "busy")]] * 3
    server.reply = lambda request: replies.pop() if replies else ["Hello"]
    assert len(read(client, ["hi"] * 4, concurrency=1)) == 4
    seen.check_pairs(4)
    assert seen.names.count("retry") == 3


@BOTH
def test_the_question_before_a_map_is_told_of_if_it_fails(seen, read):
    with StreamingClient("gpt.streaming", "127.0.0.1:1", observer=seen, max_retries=0) as client:
        with pytest.raises(ConnectionFailedError):
            read(client, ["hi"] * 3)
    info, outcome = seen.only()
    assert (info.operation, type(outcome.error)) == ("map", ConnectionFailedError)


@pytest.mark.parametrize("way", ["with", "close", "drop", "error", "client"])
def test_leaving_a_map_ends_its_requests(client, server, seen, way):
    server.reply = lambda request: (
        ["Hello"] if request.inputs["text_input"] == "quick" else ["Hel", silence()]
    )
    results = client.map(["quick", *["slow"] * 20], concurrency=4)
    next(results)
    if way == "with":
        with results:
            pass
    elif way == "error":
        with contextlib.suppress(ZeroDivisionError), results:
            raise ZeroDivisionError
    elif way == "close":
        results.close()
    elif way == "client":
        client.close()
        with pytest.raises(NupicError):
            next(results)
    else:
        del results
        gc.collect()
    wait_until(lambda: seen.names.count("end") == seen.names.count("start"))
    seen.check_pairs(len(seen.infos))
    left = [outcome for outcome in seen.outcomes if outcome.cancelled or outcome.error is not None]
    assert len(left) == len(seen.infos) - 1 >= 1
    if way == "drop":
        assert seen.threads[-1] != threading.get_ident()


def test_leaving_an_async_map_ends_its_requests(client, server, seen):
    server.reply = lambda request: (
        ["Hello"] if request.inputs["text_input"] == "quick" else ["Hel", silence()]
    )

    async def run():
        async with client.amap(["quick", *["slow"] * 20], concurrency=4) as results:
            await anext(results)

    asyncio.run(run())
    wait_until(lambda: seen.names.count("end") == seen.names.count("start"))
    seen.check_pairs(len(seen.infos))
    assert len([outcome for outcome in seen.outcomes if outcome.cancelled]) == len(seen.infos) - 1 >= 1


TENANT = contextvars.ContextVar("TENANT", default="nobody")


@BOTH
def test_the_context_is_that_of_the_call(server, read):
    told = []

    class Contexts(Recorder):
        def on_start(self, info):
            told.append(TENANT.get())
            TENANT.set(f"span of {info.request_id}")

    seen = Contexts()

    def headers():
        return {"x-span": TENANT.get()}

    with StreamingClient("gpt.streaming", server.url, observer=seen, metadata=headers) as client:
        TENANT.set("caller")
        results = read(client, ["hi"] * 5)
        TENANT.set("nobody")
    assert told == ["caller"] * 5
    spans = [metadata.get("x-span") for metadata in server.metadata]
    assert {f"span of {result.request_id}" for result in results} == set(spans[1:])


def test_a_closed_client_fails_what_runs(client, server, seen):
    server.reply = lambda request: (
        ["Hello"] if request.inputs["text_input"] == "quick" else ["Hel", silence()]
    )
    results = client.map(["quick", "slow", "slow"], concurrency=3, errors="return")
    next(results)
    wait_until(lambda: len(server.requests) == 3)
    client.close()
    with contextlib.suppress(NupicError):
        for result in results:
            assert isinstance(result, NupicError)
    seen.check_pairs(3)
    assert [outcome.cancelled for outcome in seen.outcomes].count(True) == 2


@BOTH
def test_a_prompt_that_cannot_be_sent(server, seen, read):
    asked = []

    def headers():
        asked.append(1)
        return {"x-number": str(len(asked))} if len(asked) < 3 else {"x-number": 5}

    with StreamingClient("gpt.streaming", server.url, observer=seen, metadata=headers) as client:
        results = read(client, ["hi"] * 3, errors="return", concurrency=1)
    assert [type(result).__name__ for result in results[1:]] == ["ConfigurationError"] * 2
    seen.check_pairs(3)
    assert [type(outcome.error).__name__ for outcome in seen.outcomes[1:]] == ["ConfigurationError"] * 2
    assert not any(outcome.cancelled for outcome in seen.outcomes)
