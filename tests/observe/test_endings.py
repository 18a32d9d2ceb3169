"""Each request that an observer is told of ends exactly once, however it ends, and a destructor runs nothing of a user's."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from inference.tensor_server import TensorServer, signature
from observe.recorder import PATIENCE, wait_until

from nupic_client import ConfigurationError, FinishReason, InferenceClient, RetryPolicy, StreamingClient
from nupic_client.testing import FakeTriton, abort, silence

HERE = threading.get_ident


@pytest.fixture
def server():
    with FakeTriton(["a", "b", silence()]) as server:
        yield server


@pytest.fixture
def client(server, seen):
    with StreamingClient("gpt.streaming", server.url, observer=seen) as client:
        yield client


def check_cancelled(seen):
    _, outcome = seen.only()
    assert (outcome.cancelled, outcome.error) == (True, None)
    assert outcome.finish_reason is FinishReason.CANCELLED
    assert outcome.attempts[-1].status == "CANCELLED"
    return outcome


def leave_the_block(client):
    with client.stream("hi") as stream:
        assert next(stream) == "a"
    return stream


def fail_in_the_block(client):
    with pytest.raises(ZeroDivisionError), client.stream("hi") as stream:
        assert next(stream) == "a"
        raise ZeroDivisionError
    return stream


def leave_the_loop(client):
    stream = client.stream("hi")
    for _ in stream:
        break
    return stream


def close_it(client):
    stream = client.stream("hi")
    assert next(stream) == "a"
    stream.close()
    stream.close()
    return stream


def fail_in_the_callback(client):
    with pytest.raises(ZeroDivisionError):
        client.generate("hi", callback=lambda text: 1 / 0)


def interrupt_the_callback(client):
    def interrupt(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.generate("hi", callback=interrupt)


def leave_the_events(client):
    stream = client.stream("hi")
    events = stream.events()
    next(events)
    events.close()
    return stream


@pytest.mark.parametrize(
    "leave",
    [
        leave_the_block,
        fail_in_the_block,
        leave_the_loop,
        close_it,
        fail_in_the_callback,
        interrupt_the_callback,
        leave_the_events,
    ],
)
def test_leaving_is_no_failure(client, seen, leave):
    kept = leave(client)
    outcome = check_cancelled(seen)
    assert outcome.output_bytes == 1
    assert outcome.model == "gpt.streaming"
    del kept
    gc.collect()
    client.generate("hi", max_output_bytes=None, stop="b")  # what else there was to do is done by now
    seen.check_pairs(2)


def test_a_dropped_stream_is_told_of_by_another_thread(client, seen):
    stream = client.stream("hi")
    assert next(stream) == "a"
    del stream
    gc.collect()
    check_cancelled(seen)
    assert seen.threads[-1] != HERE()


def test_a_dropped_stream_of_a_closed_loop(client, seen):
    streams = []  # the task must not return it: gRPC's complaint about the closed loop, which pytest keeps, knows the task

    async def begin():
        streams.append(client.astream("hi"))
        assert await anext(streams[0]) == "a"

    asyncio.run(begin())
    streams.clear()
    gc.collect()
    check_cancelled(seen)
    assert seen.threads[-1] != HERE()


def test_a_dropped_coroutine(client, seen):
    async def read():
        async with client.astream("hi") as stream:
            async for _ in stream:
                pass

    async def begin():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        return loop.create_task(read())

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begin())
    while "first" not in seen.names:
        loop.run_until_complete(asyncio.sleep(0.01))
    task._log_destroy_pending = False
    coroutine = task.get_coro()
    coroutine.close()
    check_cancelled(seen)
    assert seen.threads[-1] != HERE()
    # gRPC has events for this loop, which would disturb those of later loops if it were closed at once.
    loop.run_until_complete(client.aclose())
    loop.close()


def test_a_coroutine_that_is_dropped_before_its_request_is_sent(server, seen):
    asked = []

    async def headers():
        asked.append(1)
        if len(asked) > 1:  # the request; the question for the model was before
            await asyncio.get_running_loop().create_future()
        return {}

    client = StreamingClient("gpt.streaming", server.url, observer=seen, metadata=headers)
    loop = asyncio.new_event_loop()
    coroutine = client.agenerate("hi")

    async def begin():
        task = asyncio.get_running_loop().create_task(coroutine)
        while len(asked) < 2:
            await asyncio.sleep(0.01)
        return task

    task = loop.run_until_complete(begin())
    task._log_destroy_pending = False
    coroutine.close()
    check_cancelled(seen)
    assert seen.threads[-1] != HERE()
    loop.close()


def test_a_stream_that_nobody_reads_is_none(client, seen):
    async def make():
        stream = client.astream("hi")
        stream.cancel()

    asyncio.run(make())
    stream = client.astream("hi")
    del stream
    gc.collect()
    assert seen.calls == []


def test_a_cancelled_task(client, seen):
    async def run():
        task = asyncio.create_task(client.agenerate("hi"))
        while "first" not in seen.names:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    check_cancelled(seen)


def test_a_task_that_is_cancelled_before_its_request_is_sent(seen):
    with FakeTriton(ready=False) as server:
        retry = RetryPolicy(max_retries=5, initial_backoff=30, max_backoff=60)
        client = StreamingClient("gpt.streaming", server.url, observer=seen, max_retries=retry)
        server.stop()

        async def run():
            task = asyncio.create_task(client.agenerate("hi", timeout=600))
            while "retry" not in seen.names:  # it waits to ask for the model again
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(run())
    _, outcome = seen.only()
    assert (outcome.cancelled, outcome.error, outcome.finish_reason) == (True, None, FinishReason.CANCELLED)
    assert seen.threads[-1] == HERE()


def test_a_closed_client_ends_its_streams(client, seen):
    stream = client.stream("hi")
    assert next(stream) == "a"
    client.close()
    list_of = []
    with pytest.raises(Exception, match="client was closed"):
        list_of.extend(stream)
    check_cancelled(seen)


def test_a_client_that_is_closed_already(server, seen):
    client = StreamingClient("gpt.streaming", server.url, observer=seen)
    client.generate("hi", stop="b")
    client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        client.generate("hi")
    seen.check_pairs(2)
    assert isinstance(seen.outcomes[1].error, ConfigurationError)
    assert not seen.outcomes[1].cancelled


def test_an_error_of_the_callers_own_function(server, seen):
    def token():
        raise ZeroDivisionError

    with StreamingClient("gpt.streaming", server.url, observer=seen, bearer_token=token) as client:
        with pytest.raises(ZeroDivisionError):
            client.generate("hi")
        with pytest.raises(ZeroDivisionError):
            asyncio.run(client.agenerate("hi"))
    seen.check_pairs(2)
    assert [type(outcome.error) for outcome in seen.outcomes] == [ZeroDivisionError] * 2


def test_an_error_of_the_callers_own_function_when_the_request_is_sent_again(server, seen):
    def headers():
        if len(server.calls) >= 2:
            raise ZeroDivisionError
        return {}

    server.reply = [abort("UNAVAILABLE", "away")]
    with StreamingClient("gpt.streaming", server.url, observer=seen, metadata=headers) as client:
        with pytest.raises(ZeroDivisionError):
            client.generate("hi")
    _, outcome = seen.only()
    assert isinstance(outcome.error, ZeroDivisionError)
    assert (outcome.cancelled, outcome.finish_reason) == (False, None)


# --- arrays


def holding(name="m"):
    return TensorServer(signature(name, {"x": ("FP32", (-1,))}))


ARRAY = np.ones(3, np.float32)


def test_a_cancelled_inference(seen):
    with holding() as server, InferenceClient("m", server.url, observer=seen) as client:
        client.infer(ARRAY)
        server.gate.clear()

        async def run():
            task = asyncio.create_task(client.ainfer(ARRAY))
            while len(seen.infos) < 2:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(run())
    seen.check_pairs(2)
    assert [outcome.cancelled for outcome in seen.outcomes] == [False, True]
    assert seen.threads[-1] == HERE()


FORK = """
import gc, os, sys
from observe.recorder import Recorder
from nupic_client import StreamingClient

seen = Recorder()
client = StreamingClient("gpt.streaming", sys.argv[1], observer=seen)
stream = client.stream("hi")
assert next(stream) == "a"
before = len(seen.calls)
child = os.fork()
if not child:
    stream.close()
    del stream
    gc.collect()
    told = seen.names[before:]
    client.generate("hi", stop="b")
    mine = seen.names[before:]
    print(told, mine, flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stream.close()
print(seen.names, seen.only()[1].cancelled)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_a_forked_child_tells_of_its_own_requests_only(server):
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, server.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, *sys.path])},
    )
    assert (done.returncode, done.stderr) == (0, "")
    child, parent = done.stdout.splitlines()
    assert child == "[] ['start', 'first', 'end']"
    assert parent == "['start', 'first', 'end'] True"


def test_many_at_once_in_threads(server, seen):
    server.reply = ["a", "b"]
    with StreamingClient("gpt.streaming", server.url, observer=seen) as client:

        def work():
            for number in range(20):
                stream = client.stream("hi")
                if number % 2:
                    next(stream)
                    stream.close()
                else:
                    stream.result()
                del stream

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen.check_pairs(160)


def test_streams_that_two_threads_close(client, seen):
    for _ in range(20):
        stream = client.stream("hi")
        next(stream)
        barrier = threading.Barrier(4)

        def close(stream=stream, barrier=barrier):
            barrier.wait()
            stream.close()

        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen.check_pairs(20)
    wait_until(lambda: len(seen.names) >= 60)
    assert seen.names.count("end") == 20
