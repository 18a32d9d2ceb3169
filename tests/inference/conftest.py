"""One text for both flavours: the blocking method and its async twin are called by the same name."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from taking import afirst_of, first_of

from nupic_client import InferenceClient


class Blocking:
    """Calls the blocking methods."""

    name = "blocking"

    def __init__(self, client: InferenceClient) -> None:
        self.client = client

    def infer(self, *args: Any, **options: Any) -> Any:
        return self.client.infer(*args, **options)

    def embed(self, *args: Any, **options: Any) -> Any:
        return self.client.embed(*args, **options)

    def generate(self, *args: Any, **options: Any) -> Any:
        return self.client.generate(*args, **options)

    def wait(self, timeout: float) -> None:
        self.client.wait_until_ready(timeout)

    def map(self, inputs: Any, take: int | None = None, **options: Any) -> list[Any]:
        """Return what the map gives, or its first ``take`` results, leaving it there."""
        return first_of(self.client.map(inputs, **options), take)


class Async(Blocking):
    """Calls the async twins, each in a loop of its own."""

    name = "async"

    def infer(self, *args: Any, **options: Any) -> Any:
        return asyncio.run(self.client.ainfer(*args, **options))

    def embed(self, *args: Any, **options: Any) -> Any:
        return asyncio.run(self.client.aembed(*args, **options))

    def generate(self, *args: Any, **options: Any) -> Any:
        return asyncio.run(self.client.agenerate(*args, **options))

    def wait(self, timeout: float) -> None:
        asyncio.run(self.client.await_until_ready(timeout))

    def map(self, inputs: Any, take: int | None = None, **options: Any) -> list[Any]:
        async def read() -> list[Any]:
            return await afirst_of(self.client.amap(inputs, **options), take)

        return asyncio.run(read())


class AsyncInputs(Async):
    """As `Async`, with inputs that come asynchronously."""

    name = "async inputs"

    def map(self, inputs: Any, take: int | None = None, **options: Any) -> list[Any]:
        async def later() -> Any:
            for item in inputs:
                await asyncio.sleep(0)
                yield item

        given = inputs if isinstance(inputs, (str, dict)) or inspect.isawaitable(inputs) else later()
        return super().map(given, take, **options)


@pytest.fixture(params=[Blocking, Async], ids=lambda flavour: flavour.name)
def flavour(request: pytest.FixtureRequest) -> Callable[[InferenceClient], Any]:
    """Make the caller of one flavour from a client."""
    return request.param


@pytest.fixture(params=[Blocking, Async, AsyncInputs], ids=lambda flavour: flavour.name)
def map_colour(request: pytest.FixtureRequest) -> Callable[[InferenceClient], Any]:
    """Make the caller of one flavour of ``map`` from a client."""
    return request.param
