"""The defects T1 to T14 of tritonclient's streams, and T24, T26 and T27: each has a test that would show it here.

The list with links is docs/explanation/defects.md.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from defects.conftest import ENDLESS

from nupic_client import (
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceClient,
    InferenceError,
    ModelUnavailableError,
    NupicError,
    OverloadedError,
    RetryPolicy,
    StreamClosedError,
    StreamingClient,
    Timeouts,
)
from nupic_client._core.kserve import wire
from nupic_client._grpc.channel import channel_options
from nupic_client.config import ClientConfig
from nupic_client.testing import FakeTriton, abort, end, fail, silence

PATIENCE = 10.0
"""Seconds after which something that must not wait is taken to hang."""


def test_t01_one_client_streams_in_many_threads_at_once(client, server):
    """A client object has one stream, and its methods are not thread-safe."""
    server.reply = lambda request: [request.prompt, " ", "answered"]
    prompts = [f"prompt {number}" for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        texts = list(pool.map(lambda prompt: "".join(client.stream(prompt)), prompts))
    assert texts == [f"{prompt} answered" for prompt in prompts]


@pytest.mark.parametrize("what", ["stream", "client"])
def test_t02_close_does_not_wait_for_the_generation(server, what):
    """``stop_stream()`` and ``close()`` wait until the generation has ended."""
    server.reply = ENDLESS
    with StreamingClient("gpt.streaming", url=server.url) as client:
        stream = client.stream("hi")
        assert next(stream) == "one"
        begin = time.monotonic()
        (stream if what == "stream" else client).close()
        assert time.monotonic() - begin < PATIENCE
        server.wait_for_cancellation()


def test_t03_an_exception_in_the_callback_reaches_the_caller(client, server, generate):
    """An exception in the callback ends the thread that reads, silently; later requests are never answered."""

    def callback(text):
        raise ZeroDivisionError(text)

    server.reply = ENDLESS
    with pytest.raises(ZeroDivisionError, match="one"):
        generate(client, "hi", callback=callback)
    server.wait_for_cancellation()
    server.reply = ["fine"]
    assert generate(client, "again").text == "fine"


def test_t04_the_callback_may_close_what_calls_it(client, server, generate):
    """``stop_stream()`` in the callback is ``RuntimeError: cannot join current thread``."""
    server.reply = ENDLESS
    with pytest.raises(StreamClosedError):
        generate(client, "hi", callback=lambda text: client.close())
    server.wait_for_cancellation()


def test_t05_a_forgotten_stream_does_not_keep_the_program_from_ending(server, run):
    """The thread that reads is no daemon: a program that forgets ``stop_stream`` never ends."""
    server.reply = ENDLESS
    program = """
        import sys, threading
        from nupic_client import StreamingClient
        client = StreamingClient("gpt.streaming", url=sys.argv[1])
        stream = client.stream("hi")
        threading.Thread(target=lambda: list(client.stream("hi")), daemon=True).start()
        print(next(stream))
    """
    assert run(program, server.url) == "one\n"


def test_t06_an_error_in_a_stream_says_which_request_it_is_of(client, server, generate):
    """The error of a stream has neither the id of its request nor a status."""
    server.reply = ["one", fail("the model is tired")]
    with pytest.raises(InferenceError, match="tired") as caught:
        generate(client, "hi", request_id="mine")
    error = caught.value
    assert (error.request_id, error.model, error.partial_text) == ("mine", "gpt.streaming", "one")


def test_t07_errors_are_typed_without_the_metadata_that_crashes_servers(client, server, generate):
    """Only ``triton_grpc_error: true`` gives errors a status, and Triton 2.51 crashes over it."""
    server.reply = [fail("Request for unknown model: 'gpt.streaming' has no available versions")]
    with pytest.raises(ModelUnavailableError):
        generate(client, "hi", max_retries=0)
    assert not [sent for sent in server.metadata if "triton_grpc_error" in sent]


def test_t08_both_colours_ask_for_the_final_mark(client, server, generate):
    """The asyncio client cannot ask for the mark of the end."""
    generate(client, "hi")
    assert server.requests[0].parameters[wire.EMPTY_FINAL_PARAMETER] is True


def test_t09_an_exception_while_requests_are_made_is_not_a_cancellation(server):
    """An exception in the iterator of requests comes out of the asyncio client as ``CancelledError``."""

    async def inputs():
        yield {"text_input": ["one"]}
        raise ZeroDivisionError

    async def token():
        raise ZeroDivisionError

    async def main():
        with pytest.raises(ZeroDivisionError):
            [result async for result in client.amap(inputs())]
        with StreamingClient("gpt.streaming", url=server.url, bearer_token=token) as other:
            with pytest.raises(ZeroDivisionError):
                await other.agenerate("hi")

    with InferenceClient("gpt", url=server.url) as client:
        asyncio.run(main())


@pytest.mark.parametrize("status", ["UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED"])
def test_t10_a_failed_call_is_an_error_of_this_package(client, server, generate, status):
    """Failures of the call itself are raised as ``grpc.aio.AioRpcError``."""
    server.reply = ["one", abort(status, "something broke")]
    with pytest.raises(NupicError) as caught:
        generate(client, "hi")
    assert not isinstance(caught.value, grpc.RpcError)
    assert (caught.value.status, caught.value.partial_text) == (status, "one")


def test_t11_break_cancels(client, server):
    """``break`` out of ``async for`` leaves the model generating for nobody."""
    server.reply = ENDLESS

    async def main():
        stream = client.astream("hi")
        async for _ in stream:
            break
        await asyncio.to_thread(server.wait_for_cancellation)
        assert stream.closed

    asyncio.run(main())


@pytest.mark.parametrize(
    ("reply", "limits"),
    [
        (ENDLESS, {"total": 0.2}),
        ([silence()], {"first_token": 0.2}),
        (ENDLESS, {"between_tokens": 0.2}),
    ],
)
def test_t12_each_request_has_its_deadlines(client, server, generate, reply, limits):
    """There is one deadline for a stream of many requests; none until the first token, none between tokens."""
    server.reply = reply
    with pytest.raises(DeadlineExceededError) as caught:
        generate(client, "hi", timeout=Timeouts(**limits))
    (name,) = limits
    assert (caught.value.deadline, caught.value.limit) == (name, 0.2)


def test_t13_a_channel_option_of_ones_own_leaves_the_others_as_they_are():
    """``channel_args`` replaces all defaults, the limits of message sizes among them; keepalive is off."""
    config = ClientConfig.create(
        "localhost:1", environ={}, channel_options={"grpc.max_concurrent_streams": 7}
    )
    options = dict(channel_options(config))
    assert options["grpc.max_concurrent_streams"] == 7
    assert options["grpc.max_receive_message_length"] == -1
    assert 300_000 < options["grpc.keepalive_time_ms"] < 2**31 - 1


def test_t14_a_request_is_tried_again_and_spread_over_servers(generate):
    """There are no retries and no load balancing."""
    with ExitStack() as stack:
        servers = [stack.enter_context(FakeTriton(["fine"])) for _ in range(2)]
        urls = [server.url for server in servers]
        client = stack.enter_context(StreamingClient("gpt.streaming", url=urls))
        end = time.monotonic() + PATIENCE
        while not all(server.requests for server in servers):
            assert time.monotonic() < end, "one of the servers is never asked"
            generate(client, "hi")
        asked = sum(len(server.requests) for server in servers)
        for server in servers:
            server.reply = [abort("RESOURCE_EXHAUSTED", "busy")]
        with pytest.raises(OverloadedError) as caught:
            generate(client, "hi", max_retries=RetryPolicy(max_retries=2, initial_backoff=0.01))
        assert len(caught.value.attempts) == 3
        assert sum(len(server.requests) for server in servers) == asked + 3


def test_t24_streams_need_no_threads_of_their_own(server, run):
    """Twenty streams at once need sixty more threads."""
    server.reply = ENDLESS
    program = """
        import sys, threading
        from nupic_client import StreamingClient
        before = threading.active_count()
        client = StreamingClient("gpt.streaming", url=sys.argv[1])
        streams = [client.stream("hi", timeout=600) for _ in range(20)]
        assert [next(stream) for stream in streams] == ["one"] * 20
        print(threading.active_count() - before)
    """
    # The two that there may be look after the deadlines of all, and after those that are left.
    assert int(run(program, server.url)) <= 2


@pytest.mark.parametrize("final", ["separate", "last"])
def test_t26_the_end_is_known_wherever_the_mark_stands(generate, final):
    """Whether an answer is complete cannot be seen without a mark that is off by default."""
    with FakeTriton(["one", " two"], final=final) as server:
        with StreamingClient("gpt.streaming", url=server.url) as client:
            assert generate(client, "hi").text == "one two"
            server.reply = ["one", end()]
            with pytest.raises(IncompleteStreamError) as caught:
                generate(client, "hi")
    assert caught.value.partial_text == "one"


def test_t27_a_broken_stream_breaks_nothing_else(client, server, generate):
    """After an error "the stream is no longer in valid state" and the client refuses to go on."""
    server.reply = lambda request: (
        ["one", abort("UNAVAILABLE", "Socket closed")] if request.prompt == "bad" else ["a", "b"]
    )
    other = client.stream("good")
    assert next(other) == "a"
    with pytest.raises(NupicError):
        generate(client, "bad")
    assert next(other) == "b"
    assert generate(client, "good").text == "ab"
