"""P-F1, U-B1: interceptors may put other objects in the place of gRPC's calls."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc.aio
import pytest

from nupic_client import (
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceError,
    OverloadedError,
    RequestError,
    StreamClosedError,
    StreamingClient,
    Timeouts,
)
from nupic_client._core.kserve import wire
from nupic_client._sync.transport import Transport
from nupic_client.testing import FakeTriton, abort, fail, silence, sleep, text_signature

pytestmark = pytest.mark.fake_only("what is put between is on this side")


class Passing(grpc.UnaryStreamClientInterceptor):
    """Returns the call of gRPC."""

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(details, request)


class Iterator:
    __slots__ = ("_call",)

    def __init__(self, call):
        self._call = call

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._call)


class Call(Iterator):
    """Has no more than the documented iterator and ``cancel``, and takes no attributes."""

    __slots__ = ()

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


class Iterating(Passing):
    """Returns an object that can be iterated over, and nothing else."""

    def intercept_unary_stream(self, continuation, details, request):
        return Iterator(continuation(details, request))


class Lazy(Passing):
    """Returns a generator function's generator, which makes the call with the first read: so does OpenTelemetry's."""

    def intercept_unary_stream(self, continuation, details, request):
        def responses():
            yield from continuation(details, request)

        return responses()


class Decorated(Passing):
    """Returns a generator-like object with attributes of its own."""

    def intercept_unary_stream(self, continuation, details, request):
        return Span(continuation(details, request))


class Span:
    cancel = None

    def __init__(self, call):
        self._responses = (response for response in call)
        self.name = "a span"

    def __iter__(self):
        return self._responses

    def close(self):
        self._responses.close()


class Forwarding(Passing):
    """Returns a proxy that forwards everything."""

    def intercept_unary_stream(self, continuation, details, request):
        return Proxy(continuation(details, request))


class Proxy:
    def __init__(self, call):
        self.wrapped = call

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.wrapped)

    def __getattr__(self, name):
        return getattr(self.wrapped, name)


class Buffering(Passing):
    """Reads one response ahead."""

    def intercept_unary_stream(self, continuation, details, request):
        def responses(call):
            ahead = next(call, None)
            for response in call:
                yield ahead
                ahead = response
            if ahead is not None:
                yield ahead

        return responses(continuation(details, request))


class Retrying(Passing):
    """Makes the call again, whatever it ended with."""

    def intercept_unary_stream(self, continuation, details, request):
        def responses():
            for left in (2, 1, 0):
                try:
                    yield from continuation(details, request)
                except grpc.RpcError:
                    if not left:
                        raise
                else:
                    return

        return responses()


class Swallowing(Passing):
    """Makes a regular end of every failure."""

    def intercept_unary_stream(self, continuation, details, request):
        def responses(call):
            with contextlib.suppress(grpc.RpcError):
                yield from call

        return responses(continuation(details, request))


class Rewording(Passing):
    """Raises errors of its own."""

    def intercept_unary_stream(self, continuation, details, request):
        def responses(call):
            try:
                yield from call
            except grpc.RpcError as error:
                raise grpc.RpcError("in other words") from error

        return responses(continuation(details, request))


KINDS = [
    *(Passing, Wrapping, Generating, Iterating, Lazy, Decorated, Forwarding, Buffering, Retrying, Swallowing),
    Rewording,
]


def intercepted(monkeypatch, interceptor):
    connect = Transport._connect
    monkeypatch.setattr(
        Transport, "_connect", lambda self: grpc.intercept_channel(connect(self), interceptor)
    )


@pytest.fixture(params=KINDS)
def client(request, server, monkeypatch):
    intercepted(monkeypatch, request.param())
    with StreamingClient("gpt.streaming", url=server.url) as client:
        yield client


@pytest.fixture
def prompt_client(client, request):
    """Return a client whose interceptor hands on a response when it comes."""
    if "Buffering" in request.node.name:
        pytest.skip("it holds the only response back")
    return client


@pytest.fixture
def server():
    with FakeTriton(["one", " two"]) as server:
        yield server


def test_a_whole_answer(client):
    for _ in range(3):
        generation = client.generate("hi")
        assert (generation.text, generation.timing.chunks) == ("one two", 2)


def test_answers_at_once(client, server):
    server.reply = lambda request: [request.prompt, " and", " more"]
    prompts = [f"prompt {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        texts = [generation.text for generation in pool.map(client.generate, prompts)]
    assert texts == [f"{prompt} and more" for prompt in prompts]


def test_an_error_is_ours(client, server):
    server.reply = ["one", fail("broken")]
    for _ in range(2):
        with pytest.raises(InferenceError, match="broken") as caught:
            client.generate("hi")
        assert caught.value.partial_text == "one"


def test_a_status_is_ours(prompt_client, server, request):
    server.reply = ["one", abort("RESOURCE_EXHAUSTED", "full up")]
    with pytest.raises(RequestError) as caught:
        prompt_client.generate("hi", max_retries=0)
    if "Swallowing" in request.node.name:
        assert type(caught.value) is IncompleteStreamError
    elif "Retrying" not in request.node.name:  # that one begins anew in the middle of the text
        assert (type(caught.value), caught.value.partial_text) == (OverloadedError, "one")
        assert "full up" in caught.value.message


@pytest.mark.parametrize("way", ["break", "close", "drop", "block"])
def test_leaving_cancels(prompt_client, server, way):
    server.reply = ["one", silence()]
    stream = prompt_client.stream("hi", timeout=Timeouts(between_tokens=300))
    if way == "break":
        for _ in stream:
            break
    elif way == "block":
        with stream:
            next(stream)
    else:
        assert next(stream) == "one"
        if way == "close":
            stream.close()
        else:
            del stream
            gc.collect()
    server.wait_for_cancellation()


def test_leaving_one_leaves_the_others_alone(prompt_client, server):
    server.reply = ["one", sleep(0.3), " two"]
    streams = [prompt_client.stream("hi") for _ in range(4)]
    for stream in streams:
        assert next(stream) == "one"
    streams[0].close()
    streams[2].close()
    server.wait_for_cancellation(2)
    assert [streams[number].result().text for number in (1, 3)] == ["one two"] * 2
    assert prompt_client.generate("hi").text == "one two"


@pytest.mark.parametrize("reply", [[silence()], ["one", silence()]], ids=["first", "next"])
def test_closing_wakes_a_reader_that_is_blocked(client, server, reply):
    server.reply = reply
    stream = client.stream("hi")
    timer = threading.Timer(0.3, stream.close)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(StreamClosedError, match="this stream was closed"):
        list(stream)
    assert time.monotonic() - begin < 5
    timer.join()
    server.wait_for_cancellation()
    server.reply = ["one", " two"]
    assert client.generate("hi").text == "one two"


@pytest.mark.parametrize("reply", [[silence()], ["one", silence()]], ids=["first", "next"])
def test_closing_the_client_wakes_a_reader_that_is_blocked(client, server, reply):
    server.reply = reply
    stream = client.stream("hi")
    timer = threading.Timer(0.3, client.close)
    timer.start()
    with pytest.raises(StreamClosedError, match="the client was closed"):
        list(stream)
    timer.join()
    server.wait_for_cancellation()


@pytest.mark.parametrize(
    ("reply", "deadline"), [([silence()], "first_token"), (["one", silence()], "between_tokens")]
)
def test_deadlines(prompt_client, server, reply, deadline):
    server.reply = reply
    with pytest.raises(DeadlineExceededError) as caught:
        prompt_client.generate("hi", timeout=Timeouts(first_token=0.4, between_tokens=0.4, total=60))
    assert caught.value.deadline == deadline
    server.wait_for_cancellation()
    server.reply = ["one", " two"]
    assert prompt_client.generate("hi").text == "one two"


def test_what_is_left_leaves_nothing_behind(prompt_client, server):
    server.reply = ["one", silence()]
    for _ in range(30):
        next(prompt_client.stream("hi"))
    server.wait_for_cancellation(30)
    end = time.monotonic() + 10
    while True:
        gc.collect()
        calls = sum(isinstance(item, grpc.RpcContext) and item.is_active() for item in gc.get_objects())
        channels = len(prompt_client._transport._replaced)
        if calls + channels < 12:
            return
        assert time.monotonic() < end, (calls, channels)
        time.sleep(0.05)


class Sampling(Passing):
    """Hides only some of the calls, as an agent does that traces a part of them."""

    def __init__(self):
        self.count = 0

    def intercept_unary_stream(self, continuation, details, request):
        call = continuation(details, request)
        self.count += 1
        return call if self.count % 2 else (response for response in call)


def test_an_agent_that_hides_some_calls(server, monkeypatch):
    intercepted(monkeypatch, Sampling())
    with StreamingClient("gpt.streaming", url=server.url) as client:
        for _ in range(4):
            assert client.generate("hi").text == "one two"
        server.reply = ["one", silence()]
        for number in range(4):
            assert next(client.stream("hi")) == "one"
            server.wait_for_cancellation(number + 1)


class Method:
    """A patched method of a channel that seems to be gRPC's own: not even that says that calls are hidden."""

    def __init__(self, method):
        self._method = method

    def __call__(self, *arguments, **options):
        call = self._method(*arguments, **options)
        return (response for response in call)


def test_an_agent_that_patches_the_methods_of_channels(server, monkeypatch):
    unary_stream = grpc._channel.Channel.unary_stream
    monkeypatch.setattr(
        grpc._channel.Channel, "unary_stream", lambda *given, **named: Method(unary_stream(*given, **named))
    )
    with StreamingClient("gpt.streaming", url=server.url) as client:
        for _ in range(3):
            assert client.generate("hi").text == "one two"
        server.reply = ["one", silence()]
        for number in range(3):
            assert next(client.stream("hi")) == "one"
            server.wait_for_cancellation(number + 1)


class Refusing(Passing):
    """Raises before it makes the call."""

    def __init__(self, error):
        self.error = error

    def intercept_unary_stream(self, continuation, details, request):
        raise self.error


def test_an_interceptor_that_raises_is_heard(server, monkeypatch):
    intercepted(monkeypatch, Refusing(ZeroDivisionError("not today")))
    with StreamingClient("gpt.streaming", url=server.url) as client:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="not today"):
                client.generate("hi")
        assert server.requests == ()


def test_an_interceptor_that_raises_an_error_of_grpc_is_heard(server, monkeypatch):
    intercepted(monkeypatch, Refusing(grpc.RpcError("not today")))
    with StreamingClient("gpt.streaming", url=server.url) as client:
        with pytest.raises(InferenceError, match="not today"):
            client.generate("hi")
        assert server.requests == ()


# --- what the server says after the answer


@pytest.fixture
def pushing_server():
    """Serve what fails with the wish to be asked again at once, and count."""
    asked = []

    def stream(requests, context):
        asked.append(next(requests))
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1" if len(asked) > 1 else "1"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full up")
        yield

    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.stream_stream_rpc_method_handler(stream)
    service = wire.method_path("ModelStreamInfer").split("/")[1]
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"ModelStreamInfer": handler}),)
    )
    url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield url, asked
    server.stop(None)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {Retrying, Swallowing}])
def test_the_trailing_metadata_of_an_error_is_read(pushing_server, monkeypatch, kind):
    url, asked = pushing_server
    intercepted(monkeypatch, kind())
    with StreamingClient("m", url=url, signature=text_signature("m"), max_retries=5) as client:
        with pytest.raises(OverloadedError) as caught:
            client.generate("hi")
    assert (len(asked), caught.value.retry_after) == (2, -0.001)


# --- asyncio


class AsyncPassing(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, details, request):
        return await continuation(details, request)


class AsyncGenerating(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, details, request):
        call = await continuation(details, request)
        return (response async for response in call)


class AsyncBuffering(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, details, request):
        async def responses(call):
            ahead = None
            async for response in call:
                if ahead is not None:
                    yield ahead
                ahead = response
            if ahead is not None:
                yield ahead

        return responses(await continuation(details, request))


class AsyncRefusing(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, details, request):
        raise ZeroDivisionError("not today")


ASYNC_KINDS = [AsyncPassing, AsyncGenerating, AsyncBuffering]


@pytest.fixture
def async_client(request, server, monkeypatch):
    insecure = grpc.aio.insecure_channel
    monkeypatch.setattr(
        grpc.aio,
        "insecure_channel",
        lambda target, options: insecure(target, options, interceptors=[request.param()]),
    )
    with StreamingClient("gpt.streaming", url=server.url) as client:
        yield client


@pytest.mark.parametrize("async_client", ASYNC_KINDS, indirect=True)
def test_async_answers_and_errors(async_client, server):
    async def main():
        for _ in range(2):
            assert (await async_client.agenerate("hi")).text == "one two"
        server.reply = ["one", fail("broken")]
        with pytest.raises(InferenceError, match="broken") as caught:
            await async_client.agenerate("hi")
        assert caught.value.partial_text == "one"

    asyncio.run(main())


@pytest.mark.parametrize("way", ["break", "cancel", "drop", "block", "task"])
@pytest.mark.parametrize("async_client", ASYNC_KINDS[:2], indirect=True)
def test_async_leaving_cancels(async_client, server, way):
    server.reply = ["one", silence()]

    async def main():
        stream = async_client.astream("hi")
        if way == "break":
            async for _ in stream:
                break
        elif way == "block":
            async with stream:
                await anext(stream)
        else:
            assert await anext(stream) == "one"
            if way == "cancel":
                stream.cancel()
            elif way == "task":
                task = asyncio.create_task(stream.result())
                await asyncio.sleep(0.1)
                task.cancel()
                await asyncio.wait([task])
            else:
                del stream
                gc.collect()
        await asyncio.to_thread(server.wait_for_cancellation)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("reply", "deadline"), [([silence()], "first_token"), (["one", silence()], "between_tokens")]
)
@pytest.mark.parametrize("async_client", ASYNC_KINDS[:2], indirect=True)
def test_async_deadlines(async_client, server, reply, deadline):
    server.reply = reply

    async def main():
        with pytest.raises(DeadlineExceededError) as caught:
            await async_client.agenerate(
                "hi", timeout=Timeouts(first_token=0.4, between_tokens=0.4, total=60)
            )
        assert caught.value.deadline == deadline
        await asyncio.to_thread(server.wait_for_cancellation)

    asyncio.run(main())


@pytest.mark.parametrize("async_client", [AsyncRefusing], indirect=True)
def test_an_async_interceptor_that_raises_is_heard(async_client, server):
    with pytest.raises(ZeroDivisionError, match="not today"):
        asyncio.run(async_client.agenerate("hi"))
    assert server.requests == ()


SPAN = contextvars.ContextVar("SPAN", default="")


class Tracing(Passing):
    """Sets a variable of the context while the call goes on, as OpenTelemetry does."""

    def __init__(self):
        self.failed = []

    def intercept_unary_stream(self, continuation, details, request):
        def responses():
            token = SPAN.set("the call")
            try:
                yield from continuation(details, request)
            finally:
                try:
                    SPAN.reset(token)
                except ValueError as error:
                    self.failed.append(error)

        return responses()


def test_an_agent_finds_its_context_again(server, monkeypatch):
    agent = Tracing()
    intercepted(monkeypatch, agent)
    server.reply = ["one", silence()]
    with StreamingClient("gpt.streaming", url=server.url) as client:
        for _ in client.stream("hi"):
            assert SPAN.get() == "", "what the reader does is no part of the call"
            break
        stream = client.stream("hi")
        thread = threading.Thread(target=next, args=(stream,))
        thread.start()
        thread.join()
        stream.close()
        server.wait_for_cancellation(2)
        server.reply = ["one", " two"]
        assert client.generate("hi").text == "one two"
        time.sleep(0.1)
    assert agent.failed == []
