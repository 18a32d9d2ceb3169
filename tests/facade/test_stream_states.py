"""A stream that cannot be read on says why: another reader, a closed client, a broken connection."""

from __future__ import annotations

import asyncio
import functools
import operator
import os
import subprocess
import sys
import threading
import time

import pytest
from facade.conftest import BOTH_KINDS
from faults.proxy import Proxy

from nupic_client import (
    ConnectionFailedError,
    FinishReason,
    StreamClosedError,
    StreamingClient,
    StreamStateError,
)
from nupic_client.testing import FakeTriton, abort, silence, sleep

CLIENT_KINDS = BOTH_KINDS

pytestmark = pytest.mark.fake_only("the states are those of this side")


@pytest.fixture
def server():
    with FakeTriton(["one", " two", silence()]) as server:
        yield server


@pytest.fixture
def client(server, client_kind):
    with client_kind("gpt.streaming", url=server.url) as client:
        yield client


# --- U-B2: one reader


class Reader(threading.Thread):
    """Reads a stream to its end in a thread of its own."""

    def __init__(self, stream):
        super().__init__()
        self.stream, self.chunks, self.error = stream, [], None
        self.start()

    def run(self):
        try:
            for chunk in self.stream:
                self.chunks.append(chunk)
        except BaseException as error:
            self.error = error


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


WAYS = {
    "next": next,
    "for": list,
    "events": lambda stream: list(stream.events()),
    "result": lambda stream: stream.result(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_second_thread_is_told_that_there_is_another_and_the_first_goes_on(client, server, way):
    stream = client.stream("hi")
    reader = Reader(stream)
    wait_for(lambda: reader.chunks == ["one", " two"])
    time.sleep(0.05)
    for _ in range(3):
        with pytest.raises(StreamStateError, match="is being read by another thread") as caught:
            WAYS[way](stream)
        assert type(caught.value) is StreamStateError
    assert not stream.closed
    assert server.cancellations == ()
    stream.close()
    reader.join(10)
    assert isinstance(reader.error, StreamClosedError)


def test_what_the_first_thread_reads_is_whole(client, server):
    server.reply = [step for index in range(50) for step in (f"{index} ", sleep(0.002))]
    for _ in range(6):
        stream = client.stream("hi")
        readers = [Reader(stream) for _ in range(4)]
        for reader in readers:
            reader.join(20)
        assert {type(reader.error) for reader in readers} <= {StreamStateError, type(None)}
        assert sorted(chunk for reader in readers for chunk in reader.chunks) == sorted(
            f"{index} " for index in range(50)
        )
        assert stream.result().text == "".join(f"{index} " for index in range(50))


def test_threads_may_take_turns(client):
    stream = client.stream("hi")
    taken = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: taken.append(next(stream)))
        thread.start()
        thread.join(10)
    assert taken == ["one", " two"]
    stream.close()


FORKED = """
import os, sys, threading, time
from nupic_client import StreamingClient, StreamStateError

stream = StreamingClient("gpt.streaming", sys.argv[1]).stream("hi")
chunks = []
reader = threading.Thread(target=lambda: chunks.extend(stream), daemon=True)
reader.start()
while len(stream.text) < len("one two"):
    time.sleep(0.005)
time.sleep(0.05)  # for the reader to wait in gRPC
child = os.fork()
if not child:
    try:
        next(stream)
    except StreamStateError as error:
        os._exit(0 if "forked" in str(error) else 1)
    os._exit(2)
print(os.waitpid(child, 0)[1])
stream.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_is_not_told_of_a_thread_that_it_does_not_have(server):
    # In a program of its own: what the other tests leave to gRPC's threads does not survive a fork.
    server.reply = ["one", " two", silence()]
    done = subprocess.run(
        [sys.executable, "-c", FORKED, server.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_two_tasks_may_read_one_stream(client, server):
    server.reply = [step for index in range(20) for step in (f"{index} ", sleep(0.002))]

    async def main():
        stream = client.astream("hi")
        await stream.__aenter__()

        async def read():
            return [chunk async for chunk in stream]

        return await asyncio.gather(read(), read())

    assert len(functools.reduce(operator.iadd, asyncio.run(main()), [])) == 20


# --- U-A11: the client was closed


def test_a_stream_that_outlives_its_client_says_so(server):
    with StreamingClient("gpt.streaming", url=server.url) as client:
        stream = client.stream("hi")
    for _ in range(2):
        with pytest.raises(StreamClosedError, match="the client was closed before the end of this stream"):
            next(stream)
    assert stream.result().finish_reason is FinishReason.CANCELLED


def test_a_reader_whose_client_another_thread_closes_is_told(client):
    stream = client.stream("hi")
    reader = Reader(stream)
    wait_for(lambda: len(reader.chunks) == 2)
    client.close()
    reader.join(10)
    assert "the client was closed" in str(reader.error)
    assert stream.result().text == "one two"


def test_an_async_stream_that_outlives_its_client_says_so(server):
    async def main():
        async with StreamingClient("gpt.streaming", url=server.url) as client:
            stream = client.astream("hi")
            assert await anext(stream) == "one"
        for _ in range(2):
            with pytest.raises(
                StreamClosedError, match="the client was closed before the end of this stream"
            ):
                while True:
                    await anext(stream)

    asyncio.run(main())


def test_a_stream_that_was_closed_before_its_client_says_that(client):
    stream = client.stream("hi")
    stream.close()
    client.close()
    with pytest.raises(StreamClosedError, match="this stream was closed before its end"):
        next(stream)


# --- U-A9: the connection broke


def generate(client):
    return client.generate("hi")


def agenerate(client):
    return asyncio.run(client.agenerate("hi"))


@pytest.mark.text_only("the words are about text")
@pytest.mark.parametrize("ask", [generate, agenerate])
@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ([abort("UNAVAILABLE", "Socket closed")], "cannot reach the server: Socket closed"),
        (
            ["one", abort("UNAVAILABLE", "Socket closed")],
            "the connection broke after 1 chunk of text (3 characters): Socket closed",
        ),
        (
            ["one", " two", " three", abort("UNAVAILABLE", "Stream removed")],
            "the connection broke after 3 chunks of text (13 characters): Stream removed",
        ),
        (
            ["", abort("UNAVAILABLE", "Stream removed")],
            "the connection broke after an answer without text: Stream removed",
        ),
        (
            ["one", abort("UNAVAILABLE", "GOAWAY received; Error code: 11; Debug Text: too_many_pings")],
            (
                "the server ended the connection because it was pinged too often: raise grpc.keepalive_time_ms in"
                " channel_options (300000 is what servers allow by default): GOAWAY received; Error code: 11; Debug Text:"
                " too_many_pings; 1 chunk of text (3 characters)"
                " had come before"
            ),
        ),
    ],
)
def test_a_connection_that_breaks_after_text_had_come_was_there(client, server, ask, reply, message):
    server.reply = reply
    with pytest.raises(ConnectionFailedError) as caught:
        ask(client)
    assert caught.value.message == message
    assert message in str(caught.value)


@pytest.mark.parametrize("ask", [generate, agenerate])
def test_a_real_connection_that_breaks(server, ask):
    with Proxy(server.url) as proxy, StreamingClient("gpt.streaming", url=proxy.url) as client:
        timer = threading.Timer(0.5, proxy.hang_up)
        timer.start()
        with pytest.raises(
            ConnectionFailedError, match=r"the connection broke after 2 chunks of text \(7 characters\): "
        ):
            ask(client)
        timer.join()


def test_a_stream_that_is_read_in_another_loop_says_so(server):
    async def read(stream):
        return await anext(stream)

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    client = StreamingClient("gpt.streaming", url=server.url)
    try:
        stream = client.astream("Hello")
        assert first.run_until_complete(read(stream)) == "one"
        assert first.run_until_complete(read(stream)) == " two"
        with pytest.raises(StreamStateError, match="belongs to another event loop"):
            second.run_until_complete(read(stream))
        first.run_until_complete(asyncio.to_thread(server.wait_for_cancellation))
        assert second.run_until_complete(read(client.astream("Hello"))) == "one"
    finally:
        for loop in (first, second):
            loop.run_until_complete(client.aclose())  # gRPC has events for both
            loop.run_until_complete(asyncio.sleep(0.1))
            loop.close()
