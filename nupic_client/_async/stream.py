"""A generation that is read by awaiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from typing_extensions import Self

from nupic_client._async.call_stream import AsyncCallStream, Items
from nupic_client._core.generation.session import GenerationSession
from nupic_client._public import publish
from nupic_client.results import Event, Finished, Generation

__all__ = ["AsyncTextStream"]


class AsyncTextStream(AsyncCallStream[GenerationSession, str]):
    """The text of one generation, chunk by chunk, as it is generated.

    Made by `StreamingClient.astream`; the request is sent by ``async with`` or the first read. Iterate over it for
    chunks of text, or over `events()` for typed events. Leaving it cancels the generation on the server: the end of an
    ``async with`` block, ``break`` out of an ``async for`` loop, an exception, cancelling the task that reads,
    `cancel()` from any thread or task, or dropping it.

    One task reads; `cancel()` and `text` may be used from any thread or task.

    Example:
        .. code-block:: python

            async with client.astream("Once upon a time") as stream:
                async for text in stream:
                    print(text, end="", flush=True)
            print((await stream.result()).timing.time_to_first_token)
    """

    @property
    def text(self) -> str:
        """The text so far."""
        return "" if self._session is None else self._session.text

    def __aiter__(self) -> AsyncIterator[str]:
        """Yield chunks of text; leaving the loop before its end closes the stream.

        Raises:
            RequestError: the generation failed; ``partial_text`` has the text so far.
            StreamClosedError: the stream was closed.
            StreamConsumedError: it was already read to its end.
        """
        if self._session is not None:
            self._session.check_unread()
        return Items(self)

    async def __anext__(self) -> str:
        """Return the next chunk of text. Raises as `__aiter__`, and ``StopAsyncIteration`` at the end."""
        while not (text := await self._read()):
            if not self._ended().outputs_only:
                raise StopAsyncIteration
        return text

    def events(self) -> AsyncIterator[Event]:
        """Yield a `TextDelta` for each chunk of text and `Finished` at the end. Raises as `__aiter__`.

        Between them are the events of reasoning and of calls of tools, as those of `TextStream.events`.

        With ``outputs=`` there is one for each response that has such outputs, even without new text.
        """
        if self._session is not None:
            self._session.check_unread()
        return _Events(self)

    def partial(self) -> AsyncIterator[Any]:
        """Yield the value of an answer in JSON as far as it has come, each time that it has grown. Raises as `__aiter__`.

        It is the same object each time, as that of `TextStream.partial`.

        Raises:
            ConfigurationError: ``response_format`` asks for what is not JSON.
        """
        return _Values(self)

    async def result(self) -> Generation:
        """Read the stream to its end and return the generation.

        For a stream that was closed before its end, it has the text so far and the finish reason ``cancelled``.

        Raises:
            RequestError: the generation failed; ``partial_text`` has the text so far.
            OutputError: the text does not have the form that ``response_format`` asks for.
            StreamClosedError: it was closed before the request was sent.
        """
        if not self.closed:
            async for _ in self:
                pass
        return self._ended().result()


class _Left:
    """What `AsyncTextStream` gives to iterate over. Classes, for the same reason as `Items`, which they drop with them.

    Args:
        stream: the stream.
        with_outputs: as for `Items`.
    """

    def __init__(self, stream: AsyncTextStream, *, with_outputs: bool = False) -> None:
        self._stream = stream
        self._items = Items(stream, with_outputs=with_outputs)
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Close the stream; for ``contextlib.aclosing``."""
        self._over = True
        self._stream.cancel()

    async def _next(self) -> str | None:
        """Return the next text, or None once at the end."""
        if self._over:
            raise StopAsyncIteration
        try:
            text: str = await self._items.__anext__()
        except StopAsyncIteration:
            self._over = True
            return None
        except BaseException:
            self._over = True
            raise
        return text


class _Events(_Left):
    """The events of a stream."""

    def __init__(self, stream: AsyncTextStream) -> None:
        super().__init__(stream, with_outputs=True)
        self._ready: Iterator[Event] = iter(())

    async def __anext__(self) -> Event:
        while True:
            for event in self._ready:
                return event
            text = await self._next()
            session = self._stream._ended()  # noqa: SLF001 - its own stream
            if text is None:
                self._ready = iter((*session.last_events(), Finished(session.result())))
            else:
                self._ready = iter(session.events(text))


class _Values(_Left):
    """The value of an answer in JSON as it grows."""

    _value: Any = None

    async def __anext__(self) -> Any:
        if self._value is None:
            self._value = await self._begun()
        while (text := await self._next()) is not None:
            if self._value.feed(text):
                return self._value.value
        if self._value.end():
            return self._value.value
        raise StopAsyncIteration

    async def _begun(self) -> Any:
        session = self._stream._session or await self._stream._open()  # noqa: SLF001 - its own stream
        session.check_unread()
        return session.growing_value()


publish(__name__)
