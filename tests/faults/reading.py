"""A generation in either flavour, and the facts that are left of it."""

from __future__ import annotations

import asyncio
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nupic_client import RequestError, StreamingClient

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COLOURS", "AsyncColour", "Colour", "Outcome", "SyncColour"]


@dataclass
class Outcome:
    """How a generation went. It keeps facts only: an error keeps every frame alive that it came through."""

    text: str = ""
    """What the reader got."""
    error: str = "none"
    """The class of the error, with its status or the deadline that passed."""
    partial_text: str = ""
    """What the error carries."""
    retryable: bool = False
    attempts: int = 0
    seconds: float = 0.0
    message: str = ""
    stream: weakref.ref[Any] = field(default=lambda: None, repr=False)

    def failed(self, error: RequestError) -> None:
        """Take the facts of an error."""
        detail = getattr(error, "deadline", None) or error.status
        self.error = f"{type(error).__name__} ({detail})" if detail else type(error).__name__
        self.partial_text = error.partial_text
        self.retryable = error.retryable
        self.attempts = len(error.attempts)
        self.message = str(error)


OnPiece = "Callable[[int], None]"


class SyncColour:
    """`StreamingClient.stream`."""

    name = "sync"

    def read(
        self, client: StreamingClient, on_piece: Callable[[int], None] = lambda _: None, **options: Any
    ) -> Outcome:
        """Read a generation to whatever end it takes."""
        outcome = Outcome()
        begin = time.monotonic()
        try:
            with client.stream("hi", **options) as stream:
                outcome.stream = weakref.ref(stream)
                for count, text in enumerate(stream, 1):
                    outcome.text += text
                    on_piece(count)
                outcome.attempts = len(stream.result().attempts)
        except RequestError as error:
            outcome.failed(error)
        outcome.seconds = time.monotonic() - begin
        return outcome

    def leave(self, client: StreamingClient) -> None:
        """Close the client."""
        client.close()

    def close(self) -> None:
        """End; idempotent."""


class AsyncColour:
    """`StreamingClient.astream`, in one event loop."""

    name = "async"

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def read(
        self, client: StreamingClient, on_piece: Callable[[int], None] = lambda _: None, **options: Any
    ) -> Outcome:
        """Read a generation to whatever end it takes."""
        return self._loop.run_until_complete(self._read(client, on_piece, options))

    async def _read(
        self, client: StreamingClient, on_piece: Callable[[int], None], options: dict[str, Any]
    ) -> Outcome:
        outcome = Outcome()
        begin = time.monotonic()
        try:
            async with client.astream("hi", **options) as stream:
                outcome.stream = weakref.ref(stream)
                count = 0
                async for text in stream:
                    count += 1
                    outcome.text += text
                    on_piece(count)
                outcome.attempts = len((await stream.result()).attempts)
        except RequestError as error:
            outcome.failed(error)
        outcome.seconds = time.monotonic() - begin
        return outcome

    def leave(self, client: StreamingClient) -> None:
        """Close the client and the loop."""
        self._loop.run_until_complete(client.aclose())
        self.close()

    def close(self) -> None:
        """Close the loop; idempotent."""
        if not self._loop.is_closed():
            # What gRPC still hears of its calls it would pass on to the loop, closed or not, and complain in the next one.
            if tasks := asyncio.all_tasks(self._loop):
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=5))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()


Colour = SyncColour | AsyncColour
COLOURS = (SyncColour, AsyncColour)
