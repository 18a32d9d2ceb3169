"""Several servers, and one text for both flavours: the blocking method and its async twin are called by the same name."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nupic_client import StreamingClient
from nupic_client.testing import EndpointGroup

FAST = {"max_retries": 2}


class Blocking:
    """Calls the blocking methods."""

    name = "blocking"

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, method: str, *args: Any, **options: Any) -> Any:
        return getattr(self.client, method)(*args, **options)

    def stream(self, *args: Any, **options: Any) -> tuple[list[Any], Any]:
        """Read a stream; return what came, and its result."""
        with self.client.stream(*args, **options) as stream:
            chunks = list(stream)
        return chunks, stream.result()

    def results(self, *args: Any, **options: Any) -> list[Any]:
        """Read a stream of results of an inference."""
        with self.client.infer_stream(*args, **options) as stream:
            return list(stream)

    def map(self, inputs: Any, **options: Any) -> list[Any]:
        with self.client.map(inputs, **options) as results:
            return list(results)

    def many(self, count: int, *args: Any, **options: Any) -> list[Any]:
        """Hold this many streams at the same time, each after its first chunk; return their results."""
        streams = [self.client.stream(*args, **options) for _ in range(count)]
        for stream in streams:
            next(stream)
        for stream in streams:
            list(stream)
        return [stream.result() for stream in streams]


class Async(Blocking):
    """Calls the async twins, each in a loop of its own."""

    name = "async"

    def run(self, method: str, *args: Any, **options: Any) -> Any:
        return asyncio.run(getattr(self.client, f"a{method}")(*args, **options))

    def stream(self, *args: Any, **options: Any) -> tuple[list[Any], Any]:
        async def read() -> tuple[list[Any], Any]:
            async with self.client.astream(*args, **options) as stream:
                chunks = [chunk async for chunk in stream]
            return chunks, await stream.result()

        return asyncio.run(read())

    def results(self, *args: Any, **options: Any) -> list[Any]:
        async def read() -> list[Any]:
            async with self.client.ainfer_stream(*args, **options) as stream:
                return [result async for result in stream]

        return asyncio.run(read())

    def map(self, inputs: Any, **options: Any) -> list[Any]:
        async def read() -> list[Any]:
            async with self.client.amap(inputs, **options) as results:
                return [result async for result in results]

        return asyncio.run(read())

    def many(self, count: int, *args: Any, **options: Any) -> list[Any]:
        async def read() -> list[Any]:
            streams = [self.client.astream(*args, **options) for _ in range(count)]
            for stream in streams:
                await anext(stream)
            for stream in streams:
                [_ async for _ in stream]
            return [await stream.result() for stream in streams]

        return asyncio.run(read())


@pytest.fixture(params=[Blocking, Async], ids=lambda flavour: flavour.name)
def flavour(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Make the caller of one flavour from a client."""
    return request.param


@pytest.fixture
def group() -> Iterator[EndpointGroup]:
    """Two servers."""
    with EndpointGroup(2, ["Hel", "lo"]) as group:
        yield group


@pytest.fixture
def client(group: EndpointGroup) -> Iterator[StreamingClient]:
    with StreamingClient("gpt.streaming", group.urls) as client:
        yield client


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until a condition is true, and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)
    return value


def running(client: Any) -> list[int]:
    return [endpoint.running for endpoint in client.endpoints()]


def states(client: Any) -> dict[str, str]:
    return {endpoint.address: endpoint.state for endpoint in client.endpoints()}


@contextmanager
def counts_return_to_zero(client: Any) -> Iterator[None]:
    """Check that no request keeps its place on a server when all have ended, however they ended."""
    yield

    def nothing() -> bool:
        gc.collect()
        return not any(running(client))

    until(nothing)
