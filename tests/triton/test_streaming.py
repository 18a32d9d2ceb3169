"""`StreamingClient` against the real server."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    FinishReason,
    InferenceError,
    ModelRegistry,
    ModelSpec,
    ModelUnavailableError,
    StreamClosedError,
    StreamingClient,
)
from nupic_client.testing import fail, silence, sleep, text_signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from triton.server import RealTriton

ENDLESS = ("one", " two", silence())
ONE_MODEL = (text_signature("gpt.streaming"),)


@pytest.fixture
def client(real_triton: RealTriton) -> Iterator[StreamingClient]:
    with StreamingClient("gpt.streaming", url=real_triton.url) as client:
        yield client


def in_both_colours(client: StreamingClient, **options: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: client.generate("hi", **options)
    yield lambda: asyncio.run(client.agenerate("hi", **options))


# --- answers


def test_the_chunks_and_the_facts_of_an_answer(client):
    with client.stream("hi there") as stream:
        assert list(stream) == ["Hello", ", ", "world", "!"]
    generation = stream.result()
    assert generation.text == "Hello, world!"
    assert generation.finish_reason is FinishReason.STOP
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (2, 4)


@pytest.mark.parametrize("final", ["separate", "with_last"])
def test_no_chunk_is_lost_wherever_the_final_mark_stands(client, real_triton, final):
    real_triton.final = final
    for generate in in_both_colours(client):
        assert generate().text == "Hello, world!"


def test_an_answer_without_tokens(client, real_triton):
    real_triton.reply = ()
    for generate in in_both_colours(client):
        generation = generate()
        assert (generation.text, generation.timing.time_to_first_token) == ("", None)


def test_characters_torn_by_the_model_arrive_whole(client, real_triton):
    data = "grün 🎉 完".encode()
    real_triton.reply = [data[index : index + 1] for index in range(len(data))]
    for generate in in_both_colours(client):
        assert generate().text == "grün 🎉 完"


def test_ten_thousand_tokens(client, real_triton):
    expected = [f" {index}" for index in range(10_000)]
    real_triton.reply = expected
    assert list(client.stream("hi")) == expected

    async def read() -> list[str]:
        return [text async for text in client.astream("hi")]

    assert asyncio.run(read()) == expected


def test_options_reach_the_model(client, real_triton):
    generation = client.generate(
        "hi", max_tokens=2, temperature=0.5, seed=2**64 - 1, stop=["x", "y"], top_k=4
    )
    assert (generation.text, generation.finish_reason) == ("Hello, ", "length")
    inputs = real_triton.requests[0].inputs
    assert (inputs["max_tokens"], inputs["temperature"], inputs["seed"], inputs["top_k"]) == (
        2,
        0.5,
        2**64 - 1,
        4,
    )
    assert inputs["stop"] == ["x", "y"]


def test_the_request_id_and_the_metadata_reach_the_server(client, real_triton):
    client.generate("hi", request_id="my-id", metadata={"x-tenant": "blue"})
    (request,) = real_triton.requests
    assert (request.request_id, request.metadata["x-tenant"], request.prompt) == ("my-id", "blue", "hi")


def test_waiting_until_it_is_ready(client):
    client.wait_until_ready(10)
    asyncio.run(client.await_until_ready(10))


# --- many at the same time


def own_text(request: Any) -> list[Any]:
    return [step for index in range(20) for step in (f"{request.prompt}:{index};", sleep(0.005))]


def expected_text(prompt: str) -> str:
    return "".join(f"{prompt}:{index};" for index in range(20))


def test_streams_of_32_threads(client, real_triton):
    real_triton.reply = own_text
    prompts = [f"thread{index}" for index in range(32)]
    with ThreadPoolExecutor(32) as pool:
        texts = list(pool.map(lambda prompt: client.generate(prompt).text, prompts))
    assert texts == [expected_text(prompt) for prompt in prompts]


def test_streams_of_32_tasks(client, real_triton):
    real_triton.reply = own_text
    prompts = [f"task{index}" for index in range(32)]

    async def main() -> list[str]:
        return [generation.text for generation in await asyncio.gather(*map(client.agenerate, prompts))]

    assert asyncio.run(main()) == [expected_text(prompt) for prompt in prompts]


# --- errors


def test_an_unknown_model(real_triton):
    with StreamingClient("nope", url=real_triton.url) as client:
        for generate in in_both_colours(client):
            with pytest.raises(ModelUnavailableError, match="'nope' is not found") as caught:
                generate()
            assert (caught.value.status, caught.value.retryable) == ("NOT_FOUND", False)


def test_an_unknown_version(real_triton):
    registry = ModelRegistry([ModelSpec(name="gpt.streaming", version="9")])
    with StreamingClient("gpt.streaming", url=real_triton.url, registry=registry) as client:
        for generate in in_both_colours(client):
            with pytest.raises(
                ModelUnavailableError, match=r"'gpt\.streaming' version 9 is not found"
            ) as caught:
                generate()
            assert (caught.value.status, caught.value.retryable) == ("NOT_FOUND", False)


def test_a_model_that_is_not_decoupled_is_refused_with_a_hint(real_triton):
    with StreamingClient("gpt", url=real_triton.url) as client:
        for generate in in_both_colours(client):
            with pytest.raises(ConfigurationError, match=r"use 'gpt\.streaming'"):
                generate()
    assert not real_triton.requests


@pytest.mark.parametrize("before", [(), ("one", " two")], ids=["before the first token", "after tokens"])
def test_a_model_that_fails(client, real_triton, before):
    real_triton.reply = [*before, fail("engine exploded")]
    for generate in in_both_colours(client, request_id="r1"):
        with pytest.raises(InferenceError, match="engine exploded") as caught:
            generate()
        error = caught.value
        assert (error.partial_text, error.server_message) == ("".join(before), "engine exploded")
        assert (error.request_id, error.model, error.retryable) == ("r1", "gpt.streaming", False)


def test_a_deadline_cancels_on_the_server(client, real_triton):
    real_triton.reply = ENDLESS
    for count, generate in enumerate(in_both_colours(client, timeout=0.3), 1):
        with pytest.raises(DeadlineExceededError) as caught:
            generate()
        assert caught.value.partial_text == "one two"
        real_triton.wait_for_cancellation(count)


# --- leaving early


def by_break(client: StreamingClient) -> None:
    for _ in client.stream("hi"):
        break


def by_break_while_it_is_held(client: StreamingClient) -> None:
    client.held = client.stream("hi")
    for _ in client.held:
        break


def by_the_end_of_with(client: StreamingClient) -> None:
    with client.stream("hi") as stream:
        next(stream)


def by_close(client: StreamingClient) -> None:
    client.held = client.stream("hi")
    next(client.held)
    client.held.close()


def by_close_from_another_thread(client: StreamingClient) -> None:
    stream = client.stream("hi")
    assert [next(stream), next(stream)] == ["one", " two"]
    threading.Timer(0.05, stream.close).start()
    with pytest.raises(StreamClosedError):
        next(stream)


def by_dropping_it(client: StreamingClient) -> None:
    next(client.stream("hi"))
    gc.collect()


def by_an_exception_in_the_callback(client: StreamingClient) -> None:
    with pytest.raises(ZeroDivisionError):
        client.generate("hi", callback=lambda text: 1 / 0)


def by_closing_the_client(client: StreamingClient) -> None:
    client.held = client.stream("hi")
    next(client.held)
    client.close()


SYNC_WAYS = (
    by_break,
    by_break_while_it_is_held,
    by_the_end_of_with,
    by_close,
    by_close_from_another_thread,
    by_dropping_it,
    by_an_exception_in_the_callback,
    by_closing_the_client,
)


@pytest.mark.parametrize("leave", SYNC_WAYS, ids=lambda way: way.__name__)
def test_leaving_a_stream_cancels_it_in_the_model(client, real_triton, leave):
    real_triton.reply = ENDLESS
    leave(client)
    (cancellation,) = real_triton.wait_for_cancellation()
    assert cancellation.request_id == real_triton.requests[0].request_id


async def by_async_break(client: StreamingClient) -> None:
    async for _ in client.astream("hi"):
        break


async def by_async_break_while_it_is_held(client: StreamingClient) -> None:
    client.held = client.astream("hi")
    async for _ in client.held:
        break


async def by_the_end_of_async_with(client: StreamingClient) -> None:
    async with client.astream("hi") as stream:
        await anext(stream)


async def by_cancel(client: StreamingClient) -> None:
    client.held = client.astream("hi")
    await anext(client.held)
    client.held.cancel()


async def by_dropping_it_in_a_task(client: StreamingClient) -> None:
    await anext(client.astream("hi"))
    gc.collect()


async def by_cancelling_the_task(client: StreamingClient) -> None:
    arrived = asyncio.Event()
    reader = asyncio.create_task(client.agenerate("hi", callback=lambda text: arrived.set()))
    await arrived.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader


async def by_a_timeout_of_asyncio(client: StreamingClient) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.agenerate("hi"), 0.3)


async def by_an_exception_in_the_async_callback(client: StreamingClient) -> None:
    async def callback(text: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await client.agenerate("hi", callback=callback)


async def by_closing_the_client_in_a_task(client: StreamingClient) -> None:
    client.held = client.astream("hi")
    await anext(client.held)
    await client.aclose()


ASYNC_WAYS = (
    by_async_break,
    by_async_break_while_it_is_held,
    by_the_end_of_async_with,
    by_cancel,
    by_dropping_it_in_a_task,
    by_cancelling_the_task,
    by_a_timeout_of_asyncio,
    by_an_exception_in_the_async_callback,
    by_closing_the_client_in_a_task,
)


@pytest.mark.parametrize("leave", ASYNC_WAYS, ids=lambda way: way.__name__)
def test_leaving_an_async_stream_cancels_it_in_the_model(
    client, real_triton, leave: Callable[..., Awaitable[None]]
):
    real_triton.reply = ENDLESS

    async def main() -> None:
        await leave(client)
        # The loop and the channel are still open: it is not their end that cancels.
        await asyncio.to_thread(real_triton.wait_for_cancellation)

    asyncio.run(main())
    assert len(real_triton.cancellations) == 1


# --- death and shutdown: servers of their own


def test_a_model_whose_process_was_killed(serve_real):
    """Its streams are told within a second or never, and the server goes on calling the model ready."""
    server = serve_real(ENDLESS, models=ONE_MODEL)
    with StreamingClient("gpt.streaming", url=server.url) as client:
        stream = client.stream("hi", timeout=3)
        assert [next(stream), next(stream)] == ["one", " two"]
        server.kill_models()
        with pytest.raises((DeadlineExceededError, ModelUnavailableError)) as caught:
            next(stream)
        assert (caught.value.partial_text, caught.value.retryable) == ("one two", False)
        client.wait_until_ready(1)
        with pytest.raises(
            ModelUnavailableError, match="the process that runs the model on the server has died"
        ) as died:
            client.generate("again")
        assert not died.value.retryable


def test_a_server_that_is_killed_in_the_middle_of_streams(serve_real):
    server = serve_real(ENDLESS, models=ONE_MODEL)
    with StreamingClient("gpt.streaming", url=server.url) as client:
        stream = client.stream("hi")
        assert [next(stream), next(stream)] == ["one", " two"]
        os.kill(server.server.process.pid, signal.SIGKILL)
        with pytest.raises(ConnectionFailedError) as caught:
            next(stream)
        error = caught.value
        assert (error.partial_text, error.status, error.retryable) == ("one two", "UNAVAILABLE", False)
        with pytest.raises(ConnectionFailedError) as caught:
            client.generate("again")
        assert (caught.value.partial_text, caught.value.retryable) == ("", True)


def test_an_async_stream_of_a_server_that_is_killed(serve_real):
    server = serve_real(ENDLESS, models=ONE_MODEL)

    async def main() -> None:
        async with StreamingClient("gpt.streaming", url=server.url) as client:
            stream = client.astream("hi")
            assert [await anext(stream), await anext(stream)] == ["one", " two"]
            os.kill(server.server.process.pid, signal.SIGKILL)
            with pytest.raises(ConnectionFailedError) as caught:
                await anext(stream)
            assert (caught.value.partial_text, caught.value.retryable) == ("one two", False)

    asyncio.run(main())


def test_a_server_that_shuts_down_finishes_its_streams_and_refuses_new_ones(serve_real):
    go_on = threading.Event()

    def reply(request: Any) -> Iterator[Any]:
        yield "one"
        go_on.wait(20)
        yield " two"

    server = serve_real(reply, models=ONE_MODEL)
    with (
        StreamingClient("gpt.streaming", url=server.url) as client,
        StreamingClient("gpt.streaming", url=server.url) as late,
    ):
        stream = client.stream("hi")
        assert next(stream) == "one"
        server.server.terminate()
        refused = wait_until_refused(client)
        assert refused.status == "UNAVAILABLE"
        assert refused.retryable
        assert refused.partial_text == ""
        with pytest.raises(ModelUnavailableError) as caught:
            late.generate("a client that does not know the model yet")
        assert caught.value.retryable
        go_on.set()
        assert stream.result().text == "one two"
    assert server.server.process.wait(30) == 0


def wait_until_refused(client: StreamingClient) -> ModelUnavailableError:
    """Send requests until the server has noticed the signal."""
    for _ in range(200):
        stream = client.stream("too late")
        try:
            next(stream)
        except ModelUnavailableError as error:
            return error
        finally:
            stream.close()
    raise AssertionError("the server goes on answering")
