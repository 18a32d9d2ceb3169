"""Interceptors may put other objects in the place of gRPC's calls."""

from __future__ import annotations

import gc

import grpc
import pytest

from nupic_client import InferenceError, StreamingClient, Timeouts
from nupic_client._sync.transport import Transport
from nupic_client.testing import FakeTriton, fail, silence

pytestmark = pytest.mark.fake_only("what is put between is on this side")


class Passing(grpc.UnaryStreamClientInterceptor):
    """Returns the call of gRPC."""

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(details, request)


class Call:
    """Has no more than the documented iterator and ``cancel``, and takes no attributes."""

    __slots__ = ("_call",)

    def __init__(self, call):
        self._call = call

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._call)

    def cancel(self):
        return self._call.cancel()


class Wrapping(Passing):
    def intercept_unary_stream(self, continuation, details, request):
        return Call(continuation(details, request))


class Generating(Passing):
    """Returns a bare generator, as tracing agents do."""

    def intercept_unary_stream(self, continuation, details, request):
        call = continuation(details, request)
        return (response for response in call)


@pytest.fixture(params=[Passing, Wrapping, Generating])
def client(request, server, monkeypatch):
    connect = Transport._connect
    monkeypatch.setattr(
        Transport, "_connect", lambda self: grpc.intercept_channel(connect(self), request.param())
    )
    with StreamingClient("gpt.streaming", url=server.url) as client:
        yield client


@pytest.fixture
def server():
    with FakeTriton(["one", " two"]) as server:
        yield server


def test_a_whole_answer(client):
    generation = client.generate("hi")
    assert (generation.text, generation.finish_reason) == ("one two", client.generate("hi").finish_reason)


def test_an_error_is_ours(client, server):
    server.reply = ["one", fail("broken")]
    with pytest.raises(InferenceError, match="broken") as caught:
        client.generate("hi")
    assert caught.value.partial_text == "one"


@pytest.mark.parametrize("way", ["break", "close", "drop"])
def test_leaving_cancels(client, server, way):
    server.reply = ["one", silence()]
    stream = client.stream("hi", timeout=Timeouts(between_tokens=300))
    if way == "break":
        for _ in stream:
            break
    else:
        assert next(stream) == "one"
        if way == "close":
            stream.close()
        else:
            del stream
            gc.collect()
    server.wait_for_cancellation()
