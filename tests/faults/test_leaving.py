"""Streams that are left before their end leave nothing behind either: gRPC would keep their calls and connections."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from faults.leaks import Leaks
from nupic_client import NupicError, ProtocolError, StreamClosedError, StreamingClient
from nupic_client._sync.transport import Transport
from nupic_client.testing import FakeTriton, fail, raw, silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


def by_break(client: StreamingClient) -> None:
    for _ in client.stream("hi"):
        break


def by_dropping_it(client: StreamingClient) -> None:
    next(client.stream("hi"))


def by_never_reading_it(client: StreamingClient) -> None:
    client.stream("hi").close()


def by_closing_it_from_another_thread(client: StreamingClient) -> None:
    stream = client.stream("hi")
    next(stream)
    threading.Timer(0.05, stream.close).start()
    with pytest.raises(StreamClosedError):
        next(stream)


def by_closing_the_client_first(client: StreamingClient) -> None:
    stream = client.stream("hi")
    next(stream)
    client.close()
    stream.close()


def by_a_stop_string(client: StreamingClient) -> None:
    assert client.generate("hi", stop=["e"]).text == "on"


WAYS = (
    by_break,
    by_dropping_it,
    by_never_reading_it,
    by_closing_it_from_another_thread,
    by_closing_the_client_first,
    by_a_stop_string,
)


def check_taken(calls: list[Any]) -> None:
    """Wait until all events of the calls are taken, which a thread does."""
    end = time.monotonic() + 20
    while left := [due for call in calls if (due := call.call._state.due)]:
        assert time.monotonic() < end, left
        time.sleep(0.001)


@pytest.fixture
def calls() -> Iterator[list[Any]]:
    """Collect the calls that this thread makes, looked at where they are returned."""
    made: list[Any] = []
    start = Transport.stream.__code__

    def note(frame: FrameType, event: str, returned: object) -> None:
        if event == "return" and frame.f_code is start and returned is not None:
            made.append(returned)

    sys.setprofile(note)
    yield made
    sys.setprofile(None)


@pytest.mark.slow
@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
def test_a_stream_that_is_left(leave: Callable[[StreamingClient], None], warm: None):
    with FakeTriton(["one", silence()]) as server:
        leaks = Leaks()
        client = StreamingClient("gpt.streaming", url=server.url)
        leave(client)
        client.close()
        gone = weakref.ref(client)
        del client
        leaks.check([int(server.url.rpartition(":")[2])], [gone])


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
def test_all_events_of_its_call_are_taken(leave: Callable[[StreamingClient], None], calls: list[Any]):
    with FakeTriton(["one", silence()]) as server, StreamingClient("gpt.streaming", url=server.url) as client:
        leave(client)
        assert calls
        check_taken(calls)


def test_all_events_of_calls_that_failed_are_taken(calls: list[Any]):
    with FakeTriton([fail("no")]) as server, StreamingClient("gpt.streaming", url=server.url) as client:
        for _ in range(20):
            with contextlib.suppress(NupicError):
                client.generate("hi")
        server.stop()
        with contextlib.suppress(NupicError):
            client.generate("hi")
        assert len(calls) > 20
        check_taken(calls)


def test_a_response_that_cannot_be_read_cancels_the_generation(calls: list[Any]):
    with FakeTriton(["one", raw(b"\xff\xff\xff"), silence()]) as server:
        with StreamingClient("gpt.streaming", url=server.url) as client:
            with pytest.raises(ProtocolError, match="cannot be read"):
                client.generate("hi")
            server.wait_for_cancellation()
            check_taken(calls)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of users are POSIX")
def test_an_exception_of_a_signal_in_the_middle_of_the_wait():
    """gRPC frees the call itself then: touching it again would crash the process."""

    def ring(*_: object) -> None:
        raise ZeroDivisionError

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with FakeTriton(["one", silence()]) as server:
            with StreamingClient("gpt.streaming", url=server.url) as client:
                for _ in range(3):
                    stream = client.stream("hi")
                    assert next(stream) == "one"
                    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
                    with pytest.raises(ZeroDivisionError):
                        next(stream)
                    stream.close()
                server.wait_for_cancellation(3)
                server.reply = ["fine"]
                assert client.generate("hi").text == "fine"
    finally:
        signal.signal(signal.SIGUSR1, before)
