"""One request, timed: streamed or answered at once, over gRPC or HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias, cast

from nupic_client import HttpInferenceClient, InferenceClient, StreamingClient, TextStream
from nupic_client.bench.metrics import Measurement
from nupic_client.bench.prompts import BenchPrompt
from nupic_client.options import GenerateOptions
from nupic_client.results import Generation

__all__ = ["BenchClient", "Sender", "clock", "sender_of"]

BenchClient: TypeAlias = StreamingClient | InferenceClient | HttpInferenceClient
"""A client that generates texts."""
clock: Callable[[], float] = time.perf_counter


class Sender(Protocol):
    """What sends one request and measures it."""

    async def send(self, prompt: BenchPrompt, planned: float | None) -> Measurement:
        """Send a prompt, and return what was measured when its answer is complete.

        Args:
            prompt: to send.
            planned: the reading of the clock from which durations count; None for the moment at which it is sent.
        """
        ...

    def close(self) -> None:
        """End what is running."""
        ...


def sender_of(
    client: BenchClient, *, streaming: bool, concurrency: int, options: Mapping[str, Any]
) -> Sender:
    """Return what sends requests with a client.

    Args:
        client: of the model.
        streaming: whether answers are read as they come.
        concurrency: number of requests at the same time.
        options: of every request.
    """
    given: dict[str, Any] = {"max_retries": 0, **options}  # a request that is sent again is another one
    if isinstance(client, HttpInferenceClient):
        return _HttpSender(client, given, streaming=streaming, threads=concurrency)
    if streaming and isinstance(client, StreamingClient):
        return _StreamSender(client, given)
    return _UnarySender(client, given)


class _StreamSender:
    def __init__(self, client: StreamingClient, options: Mapping[str, Any]) -> None:
        self._client, self._options = client, options

    async def send(self, prompt: BenchPrompt, planned: float | None) -> Measurement:
        options = _options(self._options, prompt)
        start = clock() if planned is None else planned
        chunks = _Chunks()
        async with self._client.astream(prompt.prompt, **options) as stream:
            async for _ in stream:
                chunks.note()
            generation = await stream.result()
        return _measured(prompt, generation, start, chunks)

    def close(self) -> None:
        pass


class _UnarySender:
    def __init__(self, client: StreamingClient | InferenceClient, options: Mapping[str, Any]) -> None:
        self._client, self._options = client, options

    async def send(self, prompt: BenchPrompt, planned: float | None) -> Measurement:
        options = _options(self._options, prompt)
        start = clock() if planned is None else planned
        generation = await self._client.agenerate(prompt.prompt, **options)
        return _measured(prompt, generation, start)

    def close(self) -> None:
        pass


class _HttpSender:
    """A thread for each request: the client for HTTP blocks."""

    def __init__(
        self, client: HttpInferenceClient, options: Mapping[str, Any], *, streaming: bool, threads: int
    ) -> None:
        self._client, self._options = client, options
        self._run = self._stream if streaming else self._generate
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="nupic_client.bench")
        self._streams: set[TextStream] = set()

    async def send(self, prompt: BenchPrompt, planned: float | None) -> Measurement:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, prompt, planned)

    def close(self) -> None:
        # Not waited for: an answer that does not stream ends when it is there, or with its client.
        self._threads.shutdown(wait=False, cancel_futures=True)
        for stream in tuple(self._streams):
            stream.close()

    def _stream(self, prompt: BenchPrompt, planned: float | None) -> Measurement:
        start = clock() if planned is None else planned
        chunks = _Chunks()
        with self._client.stream(prompt.prompt, **_options(self._options, prompt)) as stream:
            self._streams.add(stream)
            try:
                for _ in stream:
                    chunks.note()
                generation = stream.result()
            finally:
                self._streams.discard(stream)
        return _measured(prompt, generation, start, chunks)

    def _generate(self, prompt: BenchPrompt, planned: float | None) -> Measurement:
        start = clock() if planned is None else planned
        generation = self._client.generate(prompt.prompt, **_options(self._options, prompt))
        return _measured(prompt, generation, start)


def _options(options: Mapping[str, Any], prompt: BenchPrompt) -> GenerateOptions:
    given = dict(options)
    if not isinstance(prompt.prompt, str):
        given.setdefault("reasoning", "include")  # the model's thoughts are tokens, too
    if prompt.max_tokens is not None:
        given["max_tokens"] = prompt.max_tokens
    return cast("GenerateOptions", given)


class _Chunks:
    """When the chunks of an answer came."""

    __slots__ = ("count", "first", "last", "second")

    def __init__(self) -> None:
        self.count = 0
        self.first: float | None = None
        self.second: float | None = None
        self.last: float | None = None

    def note(self) -> None:
        """Note that a chunk has come now."""
        self.last = clock()
        self.count += 1
        if self.first is None:
            self.first = self.last
        elif self.second is None:
            self.second = self.last


def _measured(
    prompt: BenchPrompt, generation: Generation, start: float, chunks: _Chunks | None = None
) -> Measurement:
    end = clock()
    chunks = chunks or _Chunks()
    return Measurement(
        start=start,
        first=chunks.first,
        second=chunks.second,
        last=end if chunks.last is None else chunks.last,
        chunks=chunks.count,
        output_tokens=generation.usage.output_tokens,
        input_tokens=generation.usage.input_tokens,
        words=prompt.words,
    )
