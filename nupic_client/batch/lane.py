"""The requests to one model: rows in, outcomes out, over `StreamingClient.amap` or `InferenceClient.aembed`."""

from __future__ import annotations

import asyncio
import re
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from nupic_client import InferenceClient, StreamingClient
from nupic_client.batch.row import Embedding, Row
from nupic_client.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ModelUnavailableError,
    NupicError,
)
from nupic_client.results import Generation

__all__ = ["EmbeddingLane", "Finish", "Lane", "Outcome", "TextLane"]

Outcome: TypeAlias = Generation | Embedding | NupicError
"""What became of a row."""
Finish: TypeAlias = Callable[["Lane", Row, Outcome], Awaitable[None]]
"""Called with a row and its outcome."""
LINE_RETRIES = 8
"""How often a line is sent again where the caller says nothing: for about half a minute, in which a server can be started
again."""
_LOST = (ConnectionFailedError, AuthenticationError, ModelUnavailableError)
"""Errors that the next request would have too."""


class Lane(ABC):
    """The rows for one model.

    Args:
        finish: called with each outcome.
        concurrency: number of requests at the same time.
        strict: whether an error of the model itself, as where it is not there, ends the batch; else its rows get it.
    """

    def __init__(self, finish: Finish, *, concurrency: int, strict: bool) -> None:
        self._finish = finish
        self._room = concurrency
        self.strict = strict
        self.lost: int = 0
        """How many requests failed one after the other, because the server or the model has gone."""
        self._waiting: deque[Row] = deque()
        self._sent: dict[int, Row] = {}
        self._count = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()

    @property
    def running(self) -> int:
        """Requests on their way."""
        return len(self._sent)

    async def put(self, row: Row) -> None:
        """Add a row; wait while there are enough."""
        while len(self._waiting) >= self._room and not self._ended:
            self._has_room.clear()
            await self._has_room.wait()
        if not self._ended:
            self._waiting.append(row)
            self._changed.set()

    def end(self) -> None:
        """Take no more rows: those that wait are sent."""
        self._ended = True
        self._changed.set()
        self._has_room.set()

    def stop(self) -> int:
        """Send no more, and return how many rows were left out; what runs goes on."""
        left = len(self._waiting)
        self._waiting.clear()
        self.end()
        return left

    async def run(self) -> None:
        """Send the rows until the end.

        Raises:
            NupicError: the model is not there, or the server cannot be asked.
        """
        try:
            await self._ask()
        except NupicError as error:
            if self._ends_the_batch(error):
                raise
            await self._fail_all(error)
            return
        await self._send_all()

    @abstractmethod
    async def _ask(self) -> None:
        """Ask the server for the model. Not as patient as with the lines: a url that is wrong is told soon.

        Raises:
            NupicError: the model is not there, or the server cannot be asked.
        """

    def _ends_the_batch(self, error: NupicError) -> bool:  # noqa: ARG002 - of others it depends on the error
        """Whether an error of the model itself is one of the whole batch."""
        return self.strict

    @abstractmethod
    async def _send_all(self) -> None:
        """Send the rows until the end."""

    async def _fail_all(self, error: NupicError) -> None:
        """Give all rows the error of their model."""
        while self._sent or await self._next() is not None:
            await self._end(self._sent.popitem()[1], error)

    async def _end(self, row: Row, outcome: Outcome) -> None:
        self.lost = self.lost + 1 if isinstance(outcome, _LOST) else 0
        await self._finish(self, row, outcome)

    async def _next(self) -> tuple[int, Row] | None:
        """Return the next row with its number in this lane, among those that are sent now; None at the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        row = self._waiting.popleft()
        if len(self._waiting) < self._room // 2 + 1:  # woken for several at once
            self._has_room.set()
        number = self._count
        self._sent[number] = row
        self._count += 1
        return number, row


class TextLane(Lane):
    """The rows that become texts.

    Args:
        client: for the model.
        finish: as of `Lane`.
        concurrency: as of `Lane`.
        options: of every request.
        strict: as of `Lane`.

    Raises:
        ConfigurationError: an option is wrong.
        TypeError: an option does not exist.
    """

    def __init__(
        self,
        client: StreamingClient,
        finish: Finish,
        *,
        concurrency: int,
        options: Mapping[str, Any],
        strict: bool,
    ) -> None:
        super().__init__(finish, concurrency=concurrency, strict=strict)
        # Without prompts, it only asks for the model.
        self._question = client.amap((), **options)
        patient = options.get("max_retries") is None
        options = {**options, "max_retries": LINE_RETRIES} if patient else options
        self._results = client.amap(self, concurrency=concurrency, ordered=False, errors="return", **options)

    async def _ask(self) -> None:
        async for _ in self._question:
            pass

    async def _send_all(self) -> None:
        async with self._results as results:
            async for index, outcome in results:
                row = self._sent.pop(index)
                await self._end(row, _of_line(outcome, index) if isinstance(outcome, NupicError) else outcome)

    def __aiter__(self) -> AsyncIterator[tuple[Any, Mapping[str, Any]]]:
        return self

    async def __anext__(self) -> tuple[Any, Mapping[str, Any]]:
        following = await self._next()
        if following is None:
            raise StopAsyncIteration
        _, row = following
        return row.prompt, row.options


class EmbeddingLane(Lane):
    """The rows that become vectors.

    Args:
        client: for the model.
        finish: as of `Lane`.
        concurrency: as of `Lane`. The texts of one row are sent one request after the other.
        options: of every generation; how to call is of these requests, too.
        strict: as of `Lane`.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        client: InferenceClient,
        finish: Finish,
        *,
        concurrency: int,
        options: Mapping[str, Any],
        strict: bool,
    ) -> None:
        super().__init__(finish, concurrency=concurrency, strict=strict)
        given = {name: value for name, value in options.items() if name in _OF_CALLS}
        self._question = client.with_options(**given)
        if given.get("max_retries") is None:
            given["max_retries"] = LINE_RETRIES
        self._client = client.with_options(**given)

    async def _ask(self) -> None:
        await self._question.aembed(())

    def _ends_the_batch(self, error: NupicError) -> bool:
        # A model that makes no vectors may be the one for the prompts of the same file.
        return self.strict and not isinstance(error, ConfigurationError)

    async def _send_all(self) -> None:
        tasks = [asyncio.create_task(self._work()) for _ in range(self._room)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while (following := await self._next()) is not None:
            number, row = following
            try:
                outcome: Outcome = await self._embed(row)
            except NupicError as error:
                outcome = error.with_facts(message=_ITEM.sub("", error.message))
            del self._sent[number]
            await self._end(row, outcome)

    async def _embed(self, row: Row) -> Embedding:
        vectors = await self._client.aembed(row.prompt, concurrency=1)
        length, asked = vectors.shape[1], row.asks.get("dimensions")
        if asked not in (None, length):
            raise ConfigurationError(
                f"dimensions must be left out or {length}, the length of the model's vectors, not {asked}"
            )
        return Embedding(vectors, self._client.model.server_name, f"embd-{uuid.uuid4().hex}")


_ITEM = re.compile(r"\Aitem \d+: ")
"""The number of a request, which says nothing to the reader of a line."""
_OF_CALLS = ("timeout", "max_retries", "metadata", "session", "max_output_bytes")
"""Options that say how to call, whatever for."""


def _of_line(error: NupicError, index: int) -> NupicError:
    """Return the error without the number of its request: a line has a number of its own."""
    return error.with_facts(message=error.message.removeprefix(f"item {index}: "))
