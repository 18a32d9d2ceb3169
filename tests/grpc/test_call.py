"""Calls in our own words, whatever object gRPC or an interceptor returned."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from types import SimpleNamespace

import pytest

from nupic_client import StreamClosedError, StreamingClient
from nupic_client._grpc import housekeeping
from nupic_client._grpc.call import NoCall, StreamCall, foreign_call
from nupic_client._grpc.drain import discard_events, drain, is_over
from nupic_client.testing import FakeTriton, silence


@pytest.fixture(autouse=True)
def _registered():
    registration = housekeeping.Registration()
    housekeeping.register(registration)
    yield
    housekeeping.unregister(registration)


def do_what_was_submitted():
    done = threading.Event()
    housekeeping.submit(done.set)
    assert done.wait(20)


class Plain:
    """As little as gRPC documents, and nothing can be set on it."""

    __slots__ = ("cancelled",)

    def __init__(self):
        self.cancelled = 0

    def __iter__(self):
        return self

    def __next__(self):
        return b"one"

    def cancel(self):
        self.cancelled += 1


def test_an_object_with_no_more_than_is_documented_is_enough():
    plain = Plain()
    call = StreamCall(plain, None)
    assert call.read() == b"one"
    call.discard_events()
    assert not call.is_drained
    call.cancel()
    assert plain.cancelled == 1


def test_a_call_is_drained_once():
    plain = Plain()
    call = StreamCall(plain, None)
    threads = [threading.Thread(target=call.drain_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    do_what_was_submitted()
    assert (plain.cancelled, call.is_drained) == (1, True)


def test_the_bare_generator_of_an_interceptor_is_read_and_closed():
    left = []

    def responses():
        try:
            yield b"one"
            yield b"two"
        finally:
            left.append(True)

    call = StreamCall(responses(), None)
    assert call.read() == b"one"
    call.drain_once()
    do_what_was_submitted()
    assert left
    with pytest.raises(StopIteration):
        call.read()


def test_a_call_keeps_its_channel():
    class Channel:
        pass

    channel = Channel()
    alive, call = weakref.ref(channel), StreamCall(Plain(), channel)
    del channel
    gc.collect()
    assert alive() is not None
    del call
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("call", [NoCall("nothing here"), foreign_call()])
def test_where_there_is_no_call_reading_is_refused_and_the_rest_does_nothing(call):
    with pytest.raises(StreamClosedError, match=r"nothing here|forked"):
        call.read()
    assert call.is_drained
    call.cancel()
    call.cancel_soon()
    call.drain_once()
    call.discard_events()


HALF = SimpleNamespace(_state=SimpleNamespace(code=None, due={"a message"}), _call=object())


@pytest.mark.parametrize("call", [object(), iter(()), Plain(), HALF])
def test_what_grpc_does_not_tell_is_not_needed(call):
    assert not is_over(call)
    drain(call)
    discard_events(call)


def test_grpcio_has_the_private_names_that_drain_a_call():
    """The canary: without them each stream that is left before its end costs 13 KB for ever, and nothing tells."""
    with FakeTriton(["one", silence()]) as server, StreamingClient("gpt.streaming", url=server.url) as client:
        stream = client.stream("hi")
        assert next(stream) == "one"
        call = stream._call.call
        assert not is_over(call)
        stream.close()
        end = time.monotonic() + 20
        while not is_over(call):
            assert time.monotonic() < end, (
                "grpcio renamed one of _state, _state.due, _state.code, _call, _consume_next_event (_grpc/drain.py)"
            )
            time.sleep(0.005)
