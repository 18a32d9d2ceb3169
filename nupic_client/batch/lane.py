"""The requests to one model: rows in, outcomes out, over `StreamingClient.amap`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from nupic_client import StreamingClient
from nupic_client.batch.row import Row
from nupic_client.errors import AuthenticationError, ConnectionFailedError, ModelUnavailableError, NupicError
from nupic_client.results import Generation

__all__ = ["Lane"]

Finish = Callable[["Lane", Row, "Generation | NupicError"], Awaitable[None]]
"""Called with a row and its outcome."""
LINE_RETRIES = 8
"""How often a line is sent again where the caller says nothing: for about half a minute, in which a server can be started
again."""
_LOST = (ConnectionFailedError, AuthenticationError, ModelUnavailableError)
"""Errors that the next request would have too."""


class Lane:
    """The rows for one model.

    Args:
        client: for the model.
        finish: called with each outcome.
        concurrency: number of requests at the same time.
        options: of every request.
        strict: whether an error of the model itself, as where it is not there, ends the batch; else its rows get it.

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
        # Without prompts, it only asks for the model.
        self._question = client.amap((), **options)
        patient = options.get("max_retries") is None
        options = {**options, "max_retries": LINE_RETRIES} if patient else options
        self._results = client.amap(self, concurrency=concurrency, ordered=False, errors="return", **options)

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
            # Not as patient as with the lines: a url that is wrong is told soon.
            async for _ in self._question:
                pass
        except NupicError as error:
            if self.strict:
                raise
            await self._fail_all(error)
            return
        async with self._results as results:
            async for index, outcome in results:
                row = self._sent.pop(index)
                await self._end(row, _of_line(outcome, index) if isinstance(outcome, NupicError) else outcome)

    async def _fail_all(self, error: NupicError) -> None:
        """Give all rows the error of their model."""
        while self._sent or await anext(self, None) is not None:
            await self._end(self._sent.popitem()[1], error)

    async def _end(self, row: Row, outcome: Generation | NupicError) -> None:
        self.lost = self.lost + 1 if isinstance(outcome, _LOST) else 0
        await self._finish(self, row, outcome)

    def __aiter__(self) -> AsyncIterator[tuple[Any, Mapping[str, Any]]]:
        return self

    async def __anext__(self) -> tuple[Any, Mapping[str, Any]]:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        row = self._waiting.popleft()
        if len(self._waiting) < self._room // 2 + 1:  # woken for several at once
            self._has_room.set()
        self._sent[self._count] = row
        self._count += 1
        return row.prompt, row.options


def _of_line(error: NupicError, index: int) -> NupicError:
    """Return the error without the number of its request: a line has a number of its own."""
    return error.with_facts(message=error.message.removeprefix(f"item {index}: "))
