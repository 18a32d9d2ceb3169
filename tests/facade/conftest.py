"""One text for every colour: a scenario is written once and read in all the ways a stream can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from nupic_client import Generation, StreamingClient
from nupic_client.testing import FakeTriton

Read = Callable[..., "tuple[list[str], Generation]"]


def by_callback(client: StreamingClient, prompt: object, **options: object) -> tuple[list[str], Generation]:
    pieces: list[str] = []
    return pieces, client.generate(prompt, callback=pieces.append, **options)


def by_iterator(client: StreamingClient, prompt: object, **options: object) -> tuple[list[str], Generation]:
    with client.stream(prompt, **options) as stream:
        pieces = list(stream)
    return pieces, stream.result()


def by_events(client: StreamingClient, prompt: object, **options: object) -> tuple[list[str], Generation]:
    *deltas, finished = client.stream(prompt, **options).events()
    return [delta.text for delta in deltas], finished.generation


def by_next(client: StreamingClient, prompt: object, **options: object) -> tuple[list[str], Generation]:
    stream = client.stream(prompt, **options)
    pieces = []
    while (piece := next(stream, None)) is not None:
        pieces.append(piece)
    return pieces, stream.result()


def by_async_callback(
    client: StreamingClient, prompt: object, **options: object
) -> tuple[list[str], Generation]:
    pieces: list[str] = []

    async def callback(text: str) -> None:
        await asyncio.sleep(0)
        pieces.append(text)

    return pieces, asyncio.run(client.agenerate(prompt, callback=callback, **options))


def by_function_in_async(
    client: StreamingClient, prompt: object, **options: object
) -> tuple[list[str], Generation]:
    pieces: list[str] = []
    return pieces, asyncio.run(client.agenerate(prompt, callback=pieces.append, **options))


def by_async_iterator(
    client: StreamingClient, prompt: object, **options: object
) -> tuple[list[str], Generation]:
    async def read() -> tuple[list[str], Generation]:
        async with client.astream(prompt, **options) as stream:
            pieces = [text async for text in stream]
        return pieces, await stream.result()

    return asyncio.run(read())


def by_async_events(
    client: StreamingClient, prompt: object, **options: object
) -> tuple[list[str], Generation]:
    async def read() -> tuple[list[str], Generation]:
        *deltas, finished = [event async for event in client.astream(prompt, **options).events()]
        return [delta.text for delta in deltas], finished.generation

    return asyncio.run(read())


COLOURS: tuple[Read, ...] = (
    by_callback,
    by_iterator,
    by_events,
    by_next,
    by_async_callback,
    by_function_in_async,
    by_async_iterator,
    by_async_events,
)


@pytest.fixture(params=COLOURS, ids=lambda colour: colour.__name__)
def read(request: pytest.FixtureRequest) -> Read:
    """One way of reading a stream: returns its pieces and the finished generation."""
    return request.param


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    with FakeTriton(["Hello", " wor", "ld"]) as server:
        yield server


@pytest.fixture
def client(server: FakeTriton) -> Iterator[StreamingClient]:
    with StreamingClient("gpt.streaming", url=server.url) as client:
        yield client
