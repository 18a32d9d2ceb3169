"""Async streams of responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NoReturn

from nupic_client import AsyncTextStream

__all__ = ["Responses"]


class Responses(AsyncGenerator[Any, None]):
    """The responses of a stream, which is cancelled when this is dropped.

    LlamaIndex drops what it has of a stream without closing it. A dropped generator of Python's is closed by its event loop
    some turns later, which may be too late: the loop of ``asyncio.run`` ends soon after a ``break``.

    Args:
        stream: the stream.
        items: what is read of it.
        read: makes a response of an item, or None if there is none.
        last: makes the response after all items; None for none.
    """

    def __init__(
        self,
        stream: AsyncTextStream,
        items: AsyncIterator[Any],
        read: Callable[[Any], Any],
        last: Callable[[Any], Any] | None = None,
    ) -> None:
        self._stream = stream
        self._items = items
        self._read = read
        self._last = last

    async def asend(self, _value: None) -> Any:
        """Return the next response."""
        async for item in self._items:
            response = self._read(item)
            if response is not None:
                return response
        last, self._last = self._last, None
        if last is None:
            raise StopAsyncIteration
        return last(await self._stream.result())

    async def athrow(self, error: Any, *others: Any) -> NoReturn:  # noqa: ARG002 - the interface
        """Close the stream and raise an exception, as a generator does that does not catch it."""
        self._stream.cancel()
        raise error
