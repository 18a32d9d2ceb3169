"""One text for every flavour and server: a scenario is written once.

It is read in all the ways a stream can be read, from `FakeTriton` and from the real server. What only the fake
one can do, such as breaking a call with a status of its own, is marked ``fake_only`` with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
from facade.results import ResultsClient
from triton.fixtures import lent_server, require_server
from triton.server import RealTriton

from nupic_client import Generation, StreamingClient
from nupic_client.testing import FakeTriton

Read = Callable[..., "tuple[list[str], Generation]"]


def by_callback(client: StreamingClient, prompt: object, **options: object) -> tuple[list[str], Generation]:
    chunks: list[str] = []
    return chunks, client.generate(prompt, callback=chunks.append, **options)


def by_iterator(client: StreamingClient, prompt: object, **options: object) -> tuple[list[str], Generation]:
    with client.stream(prompt, **options) as stream:
        chunks = list(stream)
    return chunks, stream.result()


def by_events(client: StreamingClient, prompt: object, **options: object) -> tuple[list[str], Generation]:
    *deltas, finished = client.stream(prompt, **options).events()
    return [delta.text for delta in deltas], finished.generation


def by_next(client: StreamingClient, prompt: object, **options: object) -> tuple[list[str], Generation]:
    stream = client.stream(prompt, **options)
    chunks = []
    while (chunk := next(stream, None)) is not None:
        chunks.append(chunk)
    return chunks, stream.result()


def by_async_callback(
    client: StreamingClient, prompt: object, **options: object
) -> tuple[list[str], Generation]:
    chunks: list[str] = []

    async def callback(text: str) -> None:
        await asyncio.sleep(0)
        chunks.append(text)

    return chunks, asyncio.run(client.agenerate(prompt, callback=callback, **options))


def by_function_in_async(
    client: StreamingClient, prompt: object, **options: object
) -> tuple[list[str], Generation]:
    chunks: list[str] = []
    return chunks, asyncio.run(client.agenerate(prompt, callback=chunks.append, **options))


def by_async_iterator(
    client: StreamingClient, prompt: object, **options: object
) -> tuple[list[str], Generation]:
    async def read() -> tuple[list[str], Generation]:
        async with client.astream(prompt, **options) as stream:
            chunks = [text async for text in stream]
        return chunks, await stream.result()

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


BOTH_KINDS = (StreamingClient, ResultsClient)
"""What streams: texts, and the results of `infer_stream`."""

REAL_COLOURS: tuple[Read, ...] = (by_callback, by_iterator, by_async_callback, by_async_iterator)
"""Those that take different ways through the client; the real server is too slow for all."""

Serve = Callable[..., AbstractContextManager[Any]]


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "fake_only(reason): this can only be done with FakeTriton")
    config.addinivalue_line("markers", "text_only(reason): this can only be said of a stream of text")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test with all flavours, and where it may use any server with both."""
    if "client_kind" in metafunc.fixturenames:
        text_only = metafunc.definition.get_closest_marker("text_only")
        kinds = (StreamingClient,) if text_only else getattr(metafunc.module, "CLIENT_KINDS", ())
        if kinds:
            metafunc.parametrize("client_kind", kinds, ids=[kind.__name__ for kind in kinds])
    fake_only = metafunc.definition.get_closest_marker("fake_only")
    servers = [serve_fake] if fake_only else [serve_fake, serve_real]
    real = pytest.mark.triton
    pairs = [
        pytest.param(
            serve, read, id=f"{serve.__name__[6:]}-{read.__name__}", marks=real if serve is serve_real else ()
        )
        for serve in servers
        for read in (COLOURS if serve is serve_fake else REAL_COLOURS)
    ]
    serve_used, read_used = ("serve" in metafunc.fixturenames, "read" in metafunc.fixturenames)
    if serve_used and read_used:
        metafunc.parametrize(("serve", "read"), pairs)
    elif serve_used:
        each = [
            pytest.param(serve, id=serve.__name__[6:], marks=real if serve is serve_real else ())
            for serve in servers
        ]
        metafunc.parametrize("serve", each)
    elif read_used:
        metafunc.parametrize("read", COLOURS, ids=[read.__name__ for read in COLOURS])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Do not count the start of the real server as time of the test that comes first."""
    for item in items:
        if getattr(item, "callspec", None) and item.callspec.params.get("serve") is serve_real:
            item.add_marker(pytest.mark.timeout(300, func_only=True))


def serve_fake(*args: Any, **options: Any) -> FakeTriton:
    """Serve with `FakeTriton`, whose arguments it takes."""
    return FakeTriton(*args, **options)


@contextmanager
def serve_real(reply: Any, *, models: Any = None, final: Any = "separate") -> Iterator[RealTriton]:
    """Serve with the real server: the one that all tests share, or one of its own for other models."""
    with ExitStack() as stack:
        if models is None:
            yield stack.enter_context(lent_server(reply, final))
            return
        require_server()
        yield stack.enter_context(RealTriton(reply, models=models, final=final))


@pytest.fixture
def server(serve: Serve) -> Iterator[Any]:
    """The server of a test: a `FakeTriton`, or the real one with the same face."""
    with serve(["Hello", " wor", "ld"]) as server:
        yield server


@pytest.fixture
def client_kind() -> type[Any]:
    """The class of the client; modules with ``CLIENT_KINDS`` run their tests with each of them."""
    return StreamingClient


@pytest.fixture
def client(server: Any, client_kind: type[Any]) -> Iterator[Any]:
    with client_kind("gpt.streaming", url=server.url) as client:
        yield client
