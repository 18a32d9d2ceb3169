"""Cancelling a task works wherever it waits, and nothing but that is a ``CancelledError``."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time

import pytest
from facade.conftest import BOTH_KINDS

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    RetryPolicy,
    StreamClosedError,
    StreamingClient,
    TransportError,
)
from nupic_client.testing import FakeTriton, abort, silence

CLIENT_KINDS = BOTH_KINDS

pytestmark = pytest.mark.fake_only("whose task is cancelled does not depend on the server")

PATIENT = {"timeout": None, "max_retries": RetryPolicy(max_retries=9, initial_backoff=5000, max_backoff=5000)}
"""Pauses of hours: who waits for the end of one would hang."""
modern = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.11 brought it")


@pytest.fixture
def server():
    with FakeTriton(["one", " two", silence()]) as server:
        yield server


@pytest.fixture
def deaf():
    """The address of a server that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def cancel_where_it_waits(task: asyncio.Task) -> None:
    """Cancel a task when it has had time to come to where it waits."""
    await asyncio.wait([task], timeout=0.2)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@modern
@pytest.mark.parametrize("way", ["generate", "stream", "with"])
def test_asyncio_timeout(client, server, way):
    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.3):
                if way == "generate":
                    await client.agenerate("hi")
                elif way == "stream":
                    async for _ in client.astream("hi"):
                        pass
                else:
                    async with client.astream("hi") as stream:
                        await stream.result()
        assert type(caught.value) is TimeoutError, "asyncio's own, not an error of the request"
        await asyncio.to_thread(server.wait_for_cancellation)

    asyncio.run(main())


@modern
def test_a_task_group_whose_member_fails(client, server):
    async def fail() -> None:
        await asyncio.to_thread(server.wait_for_requests, 3)
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(BaseException) as caught:
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(client.agenerate("hi")) for _ in range(3)]
                group.create_task(fail())
        assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
        assert all(reader.cancelled() for reader in readers)
        await asyncio.to_thread(server.wait_for_cancellation, 3)

    asyncio.run(main())


@modern
def test_a_closed_stream_in_a_task_group_is_an_error_and_no_cancellation(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        with pytest.raises(BaseException) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(stream.result())
                await asyncio.to_thread(server.wait_for_requests)
                while stream.text != "one two":
                    await asyncio.sleep(0.01)
                stream.cancel()
        assert [type(error) for error in caught.value.exceptions] == [StreamClosedError]

    asyncio.run(main())


@pytest.mark.parametrize("call", ["stream", "infer"])
def test_while_it_connects(deaf, call):
    async def main() -> None:
        with StreamingClient("gpt", deaf) as client, InferenceClient("gpt", deaf) as other:
            work = client.agenerate("hi") if call == "stream" else other.ainfer([["hi"]])
            await cancel_where_it_waits(asyncio.create_task(work))

    asyncio.run(main())


def test_a_client_that_is_closed_while_it_connects(deaf):
    with StreamingClient("gpt", deaf, max_retries=0) as client:
        threading.Timer(0.2, client.close).start()
        with pytest.raises((StreamClosedError, TransportError, ConfigurationError), match="closed"):
            client.generate("hi")


def test_in_the_pause_before_a_retry(client, server):
    server.reply = [abort("RESOURCE_EXHAUSTED", "busy")]

    async def main() -> None:
        task = asyncio.create_task(client.agenerate("hi", **PATIENT))
        await asyncio.to_thread(server.wait_for_requests)
        await cancel_where_it_waits(task)

    asyncio.run(main())
    assert len(server.requests) == 1


def test_in_the_pause_before_a_retry_of_a_request_that_is_answered_at_once(server):
    server.reply = [abort("RESOURCE_EXHAUSTED", "busy")]

    async def main() -> None:
        with InferenceClient("gpt", server.url, **PATIENT) as client:
            task = asyncio.create_task(client.ainfer({"text_input": ["hi"]}))
            await asyncio.to_thread(server.wait_for_requests)
            await cancel_where_it_waits(task)

    asyncio.run(main())
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_while_it_fetches_the_token(server, kind):
    released, ended = threading.Event(), []

    def function() -> str:
        released.wait(60)
        return "token"

    async def coroutine() -> str:
        try:
            return await asyncio.Event().wait()
        finally:
            ended.append("coroutine")

    source = {"function": function, "coroutine": coroutine}[kind]

    async def main() -> None:
        with StreamingClient("gpt.streaming", server.url, bearer_token=source) as client:
            await cancel_where_it_waits(asyncio.create_task(client.agenerate("hi")))
        released.set()  # or the end of the loop waits for the thread

    asyncio.run(main())
    assert not server.requests
    assert kind == "function" or ended == ["coroutine"]


def test_while_it_closes_the_client(client, server):
    async def main() -> None:
        streams = [client.astream("hi") for _ in range(20)]
        assert [await anext(stream) for stream in streams] == ["one"] * 20
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await client.aclose()
        await asyncio.to_thread(server.wait_for_cancellation, 20)
        with pytest.raises(ConfigurationError, match="closed"):
            await client.agenerate("hi")

    asyncio.run(main())


def test_closing_an_async_client_with_a_hundred_streams_does_not_wait(client, server):
    async def main() -> None:
        streams = [client.astream("hi") for _ in range(100)]
        readers = [asyncio.create_task(stream.result()) for stream in streams]
        await asyncio.to_thread(server.wait_for_requests, 100, timeout=30)
        begin = time.monotonic()
        await client.aclose()
        assert time.monotonic() - begin < 10, "aclose() must not wait for generations that last for ever"
        outcomes = await asyncio.gather(*readers, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StreamClosedError}
        await asyncio.to_thread(server.wait_for_cancellation, 100, timeout=30)

    asyncio.run(main())
