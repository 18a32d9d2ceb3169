"""A stream that is left before its end costs nothing afterwards, neither here nor on the server."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time

import pytest
from facade.conftest import BOTH_KINDS

from nupic_client import NupicError, StreamClosedError, StreamingClient
from nupic_client.testing import FakeTriton, fail, raw, silence

CLIENT_KINDS = BOTH_KINDS

pytestmark = pytest.mark.fake_only("what is looked at is what the client holds")

UNREADABLE = raw(b"\xff\xff\xff\xff no protobuf")


@pytest.fixture
def server():
    with FakeTriton(["a", "b", silence()]) as server:
        yield server


@pytest.fixture
def client(server, client_kind):
    with client_kind("gpt.streaming", url=server.url) as client:
        yield client


def leave_the_block(client):
    with client.stream("hi") as stream:
        assert next(stream) == "a"
    return stream


def leave_the_loop(client):
    stream = client.stream("hi")
    for _ in stream:
        break
    return stream


def cancel_it(client):
    stream = client.stream("hi")
    assert next(stream) == "a"
    stream.cancel()
    return stream


def fail_in_the_middle(client):
    stream = client.stream("hi")
    with pytest.raises(NupicError):
        for _ in stream:
            pass
    return stream


def close_while_another_thread_reads(client):
    stream = client.stream("hi")
    assert next(stream) == "a"
    assert next(stream) == "b"
    closer = threading.Timer(0.05, stream.close)
    closer.start()
    with pytest.raises(StreamClosedError):
        next(stream)
    closer.join()
    return stream


def close_from_a_thread_that_does_not_read(client):
    stream = client.stream("hi")
    assert next(stream) == "a"
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join()
    return stream


ALL = [["a", "b", silence()], ["a", fail("broken"), silence()], ["a", UNREADABLE, silence()]]
LEAVING = [
    leave_the_block,
    leave_the_loop,
    cancel_it,
    close_while_another_thread_reads,
    close_from_a_thread_that_does_not_read,
]


@pytest.mark.parametrize(
    ("leave", "reply"),
    [*((leave, ALL[0]) for leave in LEAVING), *((fail_in_the_middle, reply) for reply in ALL[1:])],
)
def test_grpc_has_nothing_left_to_tell(server, client, leave, reply):
    server.reply = reply
    stream = leave(client)
    end = time.monotonic() + 20
    while stream._call.call._state.due:
        assert time.monotonic() < end, "gRPC frees a call when its last event is read"
        time.sleep(0.001)


FORGETTING = """
import gc, sys
import psutil
from nupic_client import StreamingClient

client = StreamingClient("gpt.streaming", url=sys.argv[1])
levels = []
for _ in range(3):
    for _ in range(300):
        next(client.stream("hi"))
    gc.collect()
    levels.append(psutil.Process().memory_info().rss)
print(min(after - before for before, after in zip(levels, levels[1:])))
"""


@pytest.mark.slow
def test_a_stream_that_is_forgotten_takes_no_memory(server):
    """In a process of its own: what a process that ran other tests holds goes up and down by megabytes."""
    run = subprocess.run(
        [sys.executable, "-c", FORGETTING, server.url], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 2_000_000  # it was 13 KB for each


def test_a_message_that_cannot_be_read_cancels_the_generation_on_the_server(server, client):
    server.reply = ["a", UNREADABLE, silence()]
    with pytest.raises(NupicError, match="cannot be read"):
        client.generate("hi")
    server.wait_for_cancellation()


@pytest.fixture
def endless():
    with FakeTriton(['{"a": 1', silence()]) as server, StreamingClient("gpt.streaming", server.url) as client:
        yield server, client


@pytest.mark.parametrize("way", ["events", "partial"])
def test_break_out_of_events_and_values_closes_the_stream_even_if_the_loop_ends_at_once(endless, way):
    server, client = endless

    async def main():
        stream = client.astream("hi", response_format="json", enforce="validate")
        async for _ in getattr(stream, way)():
            break

    asyncio.run(main())
    server.wait_for_cancellation()


@pytest.mark.parametrize("way", ["events", "partial"])
def test_events_and_values_may_be_closed(endless, way):
    server, client = endless

    async def main():
        stream = client.astream("hi", response_format="json", enforce="validate")
        async with contextlib.aclosing(getattr(stream, way)()) as items:
            await anext(items)
        assert stream.closed
        with pytest.raises(StopAsyncIteration):
            await anext(items)
        await asyncio.to_thread(server.wait_for_cancellation)

    asyncio.run(main())


LATE = """
import asyncio, gc
from nupic_client import StreamingClient
from nupic_client.testing import FakeTriton, silence

async def texts(client):
    async with client.astream("hi") as stream:
        async for text in stream:
            yield text

async def main(client):
    async for _ in texts(client):  # the loop closes the generator when it ends, which is late for the call
        break

with FakeTriton(["one", silence()]) as server, StreamingClient("gpt.streaming", server.url) as client:
    asyncio.run(main(client))
    asyncio.run(main(client))
    gc.collect()  # the call of the first one
    server.wait_for_cancellation()
"""


def test_a_call_that_is_still_ending_when_its_loop_closes_is_cancelled_with_the_next_one():
    # In a process of its own: gRPC logs what it cannot tell a closed loop.
    done = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
