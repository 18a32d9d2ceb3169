"""Requests that wait in the client because all servers are full: their order, their deadlines, and how they leave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pool.conftest import counts_return_to_zero, running, states, until

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceClient,
    StreamClosedError,
    StreamingClient,
    Timeouts,
)
from nupic_client.testing import EndpointGroup, abort

INPUTS = {"text_input": ["hi"], "max_tokens": [3]}


@pytest.fixture
def gate():
    """What the answers wait for."""
    return threading.Event()


@pytest.fixture
def group(gate):
    def answer(request):
        yield "x"
        if request.prompt == "hold":
            gate.wait(60)
        yield "y"

    with EndpointGroup(2, answer) as group:
        yield group
        gate.set()


def waiting(client):
    return len(client._pool._queue)


def full(client):
    """Fill all servers; return the streams."""
    streams = [client.stream("hold") for _ in range(2)]
    assert running(client) == [1, 1]
    return streams


def clients(group, **options):
    return StreamingClient("gpt.streaming", group.urls, max_outstanding=1, **options)


def test_no_server_gets_more_than_the_limit(group, gate, flavour):
    with InferenceClient("gpt", group.urls, max_outstanding=2) as client:
        busiest = []

        def answer(request):
            busiest.append(max(running(client)))
            return ["x"]

        for server in group:
            server.reply = answer
        with counts_return_to_zero(client):
            assert len(flavour(client).map([INPUTS] * 40, concurrency=16)) == 40
        assert max(busiest) <= 2


def test_those_who_wait_get_their_turn_in_order_threads_and_tasks_in_one_queue(group, gate):
    order = []
    with clients(group) as client, ThreadPoolExecutor(8) as threads:
        held = full(client)
        held[0].close()
        until(lambda: sorted(running(client)) == [0, 1])
        held[0] = client.stream("hold")

        def blocking(number):
            with client.stream("hi") as stream:
                order.append(number)
                list(stream)

        async def awaiting(number):
            async with client.astream("hi") as stream:
                order.append(number)
                [_ async for _ in stream]

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        futures = []
        for number in range(8):
            futures.append(
                threads.submit(blocking, number)
                if number % 2
                else asyncio.run_coroutine_threadsafe(awaiting(number), loop)
            )
            until(lambda count=number + 1: waiting(client) == count)
        held[0].close()  # one place, so that they come one by one
        for future in futures:
            future.result(60)
        assert order == [*range(8)]
        held[1].close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        with counts_return_to_zero(client):
            pass


def test_the_wait_counts_for_the_first_token(group, flavour):
    timeout = Timeouts(total=60, first_token=0.2)
    with clients(group) as client:
        held = full(client)
        with counts_return_to_zero(client):
            with pytest.raises(DeadlineExceededError, match="no server had room") as caught:
                flavour(client).run("generate", "hi", timeout=timeout)
            for stream in held:
                stream.close()
    error = caught.value
    assert (error.deadline, error.limit, error.attempts, error.endpoint) == ("first_token", 0.2, (), "")
    assert error.elapsed >= 0.2
    assert error.retryable
    assert error.model == "gpt.streaming"


def test_the_wait_counts_for_the_total(group, flavour):
    with clients(group) as client:
        held = full(client)
        with pytest.raises(DeadlineExceededError, match="no server had room") as caught:
            flavour(client).run("generate", "hi", timeout=0.2)
        assert (caught.value.deadline, caught.value.attempts) == ("total", ())
        for stream in held:
            stream.close()


@pytest.mark.parametrize("method", ["infer", "generate"])
def test_so_it_does_for_a_request_with_one_answer(group, flavour, method):
    with InferenceClient("gpt", group.urls, max_outstanding=1) as client:
        client.infer(INPUTS)
        streams = [client.infer_stream({"text_input": ["hold"], "max_tokens": [3]}) for _ in range(2)]
        assert running(client) == [1, 1]
        with pytest.raises(DeadlineExceededError, match="no server had room") as caught:
            flavour(client).run(method, "hi" if method == "generate" else INPUTS, timeout=0.2)
        assert (caught.value.deadline, caught.value.attempts, caught.value.endpoint) == ("total", (), "")
        assert caught.value.limit == 0.2
        for stream in streams:
            stream.close()
        with counts_return_to_zero(client):
            pass


def test_a_task_that_waits_can_be_cancelled(group):
    async def wait(client):
        task = asyncio.ensure_future(client.agenerate("hi"))
        while not waiting(client):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with clients(group) as client:
        held = full(client)
        asyncio.run(wait(client))
        assert waiting(client) == 0
        for stream in held:
            stream.close()
        with counts_return_to_zero(client):
            pass


def test_an_async_stream_that_waits_can_be_closed(group):
    async def wait(client):
        stream = client.astream("hi")
        task = asyncio.ensure_future(anext(stream))
        while not waiting(client):
            await asyncio.sleep(0.001)
        stream.cancel()
        with pytest.raises(StreamClosedError):
            await task

    with clients(group) as client:
        held = full(client)
        asyncio.run(wait(client))
        assert waiting(client) == 0
        for stream in held:
            stream.close()


def test_a_stream_that_waits_for_its_next_attempt_can_be_closed_from_another_thread(group, gate):
    """Its first attempt failed, and there is no room elsewhere."""
    with clients(group) as client, ThreadPoolExecutor(1) as threads:
        held = client.stream("hold")
        victim = running(client).index(0)
        group[victim].reply = [abort("RESOURCE_EXHAUSTED", "queue is full")]
        second = client.stream("hi")  # it has the place that fails
        third = threads.submit(client.stream, "hold")  # and this one gets it then
        until(lambda: waiting(client) == 1)
        reader = ThreadPoolExecutor(1)
        reading = reader.submit(lambda: list(second))
        last = third.result(60)
        until(lambda: waiting(client) == 1)
        second.close()
        with pytest.raises(StreamClosedError):
            reading.result(60)
        last.close()
        held.close()
        reader.shutdown()
        with counts_return_to_zero(client):
            pass


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_client_that_is_closed_ends_the_wait(group, kind):
    with ThreadPoolExecutor(3) as threads:
        client = clients(group)
        held = full(client)

        def wait():
            return client.generate("hi") if kind == "blocking" else asyncio.run(client.agenerate("hi"))

        futures = [threads.submit(wait) for _ in range(3)]
        until(lambda: waiting(client) == 3)
        client.close()
        for future in futures:
            with pytest.raises((ConfigurationError, StreamClosedError), match="closed"):
                future.result(30)
        del held


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_map_that_waits_can_be_closed_from_elsewhere(group, kind):
    with InferenceClient("gpt", group.urls, max_outstanding=1) as client:
        client.infer(INPUTS)
        held = [client.infer_stream({"text_input": ["hold"], "max_tokens": [3]}) for _ in range(2)]
        assert running(client) == [1, 1]
        if kind == "blocking":
            results = client.map([INPUTS] * 4)
            with ThreadPoolExecutor(1) as threads:
                future = threads.submit(next, results)
                until(lambda: waiting(client))
                results.close()
                with pytest.raises(StreamClosedError):
                    future.result(30)
        else:

            async def wait():
                results = client.amap([INPUTS] * 4)
                task = asyncio.ensure_future(anext(results))
                while not waiting(client):
                    await asyncio.sleep(0.001)
                results.cancel()
                with pytest.raises(StreamClosedError):
                    await task

            asyncio.run(wait())
        for stream in held:
            stream.close()
        with counts_return_to_zero(client):
            pass
        assert waiting(client) == 0


def test_whoever_waits_learns_that_a_server_has_come_back(group, gate, flavour):
    """No other request comes in that would ask it."""
    with clients(group, max_retries=0) as client:
        group.kill(0)
        while states(client).get(group.urls[0]) != "quarantined":  # ties are broken at random
            with contextlib.suppress(ConnectionFailedError):
                client.generate("hi")
        held = client.stream("hold")
        assert held._session.target == group.urls[1]
        with ThreadPoolExecutor(1) as threads:
            future = threads.submit(flavour(client).run, "generate", "hi")
            until(lambda: waiting(client) == 1)
            group.start_again(0)
            assert future.result(60).endpoint == group.urls[0]
        held.close()


def test_a_place_of_a_dropped_stream_is_given_to_whoever_waits(group):
    with clients(group) as client, ThreadPoolExecutor(1) as threads:
        held = full(client)
        future = threads.submit(client.generate, "hi")
        until(lambda: waiting(client) == 1)
        del held[0]
        gc.collect()
        assert future.result(60).text == "xy"
        held[0].close()


def test_an_exhausted_queue_leaves_no_trace(group, flavour):
    with clients(group) as client:
        held = full(client)
        for _ in range(5):
            with pytest.raises(DeadlineExceededError):
                flavour(client).run("generate", "hi", timeout=0.05)
        assert waiting(client) == 0
        for stream in held:
            stream.close()
        with counts_return_to_zero(client):
            pass
        assert flavour(client).run("generate", "hi").text == "xy"


def test_one_server_with_a_limit_has_a_queue_too(group, flavour):
    with StreamingClient("gpt.streaming", group.urls[0], max_outstanding=1) as client:
        held = client.stream("hold")
        with pytest.raises(DeadlineExceededError, match="no server had room"):
            flavour(client).run("generate", "hi", timeout=0.1)
        held.close()
        assert flavour(client).run("generate", "hi").text == "xy"


def test_questions_do_not_wait_for_room(group, flavour):
    with clients(group) as client:
        held = full(client)
        flavour(client).run("wait_until_ready", 60)
        assert waiting(client) == 0
        for stream in held:
            stream.close()


def test_many_threads_share_few_places(group, flavour):
    with StreamingClient("gpt.streaming", group.urls, max_outstanding=2) as client:
        with counts_return_to_zero(client), ThreadPoolExecutor(16) as threads:
            done = [threads.submit(flavour(client).run, "generate", "hi") for _ in range(100)]
            assert {future.result(60).text for future in done} == {"xy"}
        assert sum(group.shares) == 100


def test_thousands_of_tasks_may_wait_and_leave(group):
    async def run(client):
        tasks = [asyncio.ensure_future(client.agenerate("hi", timeout=None)) for _ in range(2000)]
        while waiting(client) < len(tasks):
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with clients(group) as client:
        held = full(client)
        asyncio.run(run(client))
        assert waiting(client) == 0
        for stream in held:
            stream.close()
        with counts_return_to_zero(client):
            pass
