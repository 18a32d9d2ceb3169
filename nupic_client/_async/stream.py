"""A generation that is read by awaiting."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
import weakref
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from nupic_client._async.transport import AsyncTransport, running_loop, task_is_cancelled
from nupic_client._core import flows
from nupic_client._core.exchange import Exchange
from nupic_client._grpc import fork
from nupic_client._grpc.status import error_from_rpc
from nupic_client.errors import NupicError, RequestError, StreamClosedError
from nupic_client.results import Event, Finished, Generation

if TYPE_CHECKING:
    from typing_extensions import Self

    from nupic_client._core.exchange import Later

__all__ = ["AsyncTextStream"]


class AsyncTextStream:
    """The text of one generation, piece by piece, as it is generated.

    Made by `StreamingClient.astream`; the request is sent by ``async with`` or the first read. Iterate over it for
    pieces of text, or over `events()` for typed events. Leaving it cancels the generation on the server: the end of an
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

    _call: Any = None

    def __init__(self, transport: AsyncTransport, opening: flows.Flow[Exchange], request_id: str) -> None:
        self._transport = transport
        self._opening = opening
        self._request_id = request_id
        self._exchange: Exchange | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancelled = False
        self._failure: NupicError | None = None

    @property
    def request_id(self) -> str:
        """The id the request is sent with."""
        return self._request_id

    @property
    def text(self) -> str:
        """The text so far."""
        return "" if self._exchange is None else self._exchange.text

    @property
    def closed(self) -> bool:
        """Whether the generation has ended, in whatever way."""
        if self._exchange is None:
            return self._cancelled or self._failure is not None
        return not self._exchange.running

    def __aiter__(self) -> AsyncIterator[str]:
        """Yield pieces of text; leaving the loop before its end closes the stream.

        Raises:
            RequestError: the generation failed; ``partial_text`` has the text so far.
            StreamClosedError: the stream was closed.
            StreamConsumedError: it was already read to its end.
        """
        if self._exchange is not None:
            self._exchange.check_unread()
        return _Pieces(self)

    async def __anext__(self) -> str:
        """Return the next piece of text. Raises as `__aiter__`, and ``StopAsyncIteration`` at the end."""
        text = await self._read()
        if not text:
            raise StopAsyncIteration
        return text

    async def events(self) -> AsyncIterator[Event]:
        """Yield a `TextDelta` for each piece of text and `Finished` at the end. Raises as `__aiter__`."""
        async for text in self:
            yield self._ended().delta(text)
        yield Finished(self._ended().result())

    async def result(self) -> Generation:
        """Read the stream to its end and return the generation.

        Of a stream that was closed before its end it returns what had arrived, with the finish reason ``cancelled``.

        Raises:
            RequestError: the generation failed; ``partial_text`` has the text so far.
            StreamClosedError: it was closed before the request was sent.
        """
        if not self.closed:
            async for _ in self:
                pass
        return self._ended().result()

    def cancel(self) -> None:
        """Cancel the generation on the server if it is running. Returns at once. Idempotent; safe from any thread."""
        self._leave()

    async def aclose(self) -> None:
        """Do what `cancel` does; for ``contextlib.aclosing``."""
        self.cancel()

    async def __aenter__(self) -> Self:
        """Send the request and return the stream; the end of the block closes it.

        Raises:
            RequestError: the model's signature could not be asked for.
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        if self._exchange is None:
            await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        # grpc.aio does not cancel an abandoned call; whatever is left of the interpreter, stay silent.
        with contextlib.suppress(Exception):
            if self._call is not None:
                self._leave(self._in_loop)

    def _leave(self, later: Later | None = None) -> None:
        """Do what `cancel` does, also for destructors, which take no locks: see `_grpc.reaper`.

        Args:
            later: what calls a function later, outside of the destructor.
        """
        self._cancelled = True
        if self._exchange is not None:
            self._exchange.cancelled(time.monotonic(), later)
        call, loop = self._call, self._loop
        if call is None or loop is None or call.done():
            return
        if _running_loop() is loop:
            call.cancel()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its calls with it
                loop.call_soon_threadsafe(call.cancel)

    def _in_loop(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(function)
            except RuntimeError:  # the loop is closed
                if not sys.is_finalizing():
                    function()

    async def _open(self) -> Exchange:
        if self._failure is not None:
            raise self._failure
        if self.closed:
            raise StreamClosedError("this stream was closed before its request was sent")
        self._loop = running_loop()
        try:
            exchange = await self._transport.run(self._opening)
            await self._start(exchange)
        except NupicError as error:
            self._failure = error
            raise
        except BaseException:
            self._cancelled = True  # half of the opening is done and cannot be done again
            raise
        self._exchange = exchange
        fork.track(self)
        if self._cancelled:  # while it was being opened
            self.cancel()
        return exchange

    def _ended(self) -> Exchange:
        if self._exchange is None:
            raise self._failure or StreamClosedError("this stream was closed before its request was sent")
        return self._exchange

    def _check_left(self, exchange: Exchange) -> None:
        """Raise StreamClosedError if the stream or the client was closed while this task was waiting."""
        if self._transport.closed:
            exchange.cancelled(time.monotonic())
        exchange.check_running()

    def after_fork(self) -> None:
        """Leave the parent's call alone in a forked child; reading it there is an error."""
        fork.disown(self._call)
        self._call = fork.ForeignCall()

    def check_deadline(self, now: float) -> float | None:
        """Cancel the call if the server was silent for too long; return when to look again."""
        exchange = self._exchange
        if exchange is None or not exchange.running:
            return None
        again = exchange.deadlines.check(now)
        if again is None:
            self._call.cancel()  # which wakes the reader, and that finds out why
        return again

    async def _start(self, exchange: Exchange) -> None:
        self._call = await self._transport.stream(exchange)
        now = time.monotonic()
        first_check = exchange.deadlines.check(now) if exchange.deadlines.watched else None
        if first_check is not None and exchange.attempts == 1:
            asyncio.get_running_loop().call_later(first_check - now, _look_after, weakref.ref(self))

    async def _read(self) -> str:
        """Return the next piece of text, or nothing at the end."""
        exchange = self._exchange or await self._open()
        try:
            while True:
                try:
                    return await self._receive(exchange)
                except RequestError as error:
                    if not exchange.running:
                        raise
                    await self._again(exchange, error)
        except BaseException:
            self.cancel()
            raise
        finally:
            exchange.deadlines.waiting = None

    async def _receive(self, exchange: Exchange) -> str:
        call = self._call
        clock = time.monotonic
        deadlines = exchange.deadlines
        deadlines.waiting = clock()
        try:
            while exchange.running:
                response = await call.read()
                now = deadlines.waiting = clock()
                if response is grpc.aio.EOF:
                    exchange.ended(now)
                    break
                text = exchange.receive(response, now)
                if exchange.stopped_early:
                    self.cancel()
                if text:
                    return text
            exchange.check_running()
        except grpc.RpcError as rpc_error:
            self._broken(exchange, rpc_error)
        except asyncio.CancelledError as cancellation:
            # grpc.aio raises it for our own cancel too. That of the task that reads must go on as it is.
            if task_is_cancelled():
                raise
            self._check_left(exchange)
            if exchange.deadlines.expired is None:
                raise
            self._broken(exchange, cancellation)
        return exchange.consumed()

    def _broken(self, exchange: Exchange, cause: BaseException) -> None:
        self._check_left(exchange)
        failure = error_from_rpc(cause) if isinstance(cause, grpc.RpcError) else exchange.deadlines.error()
        error = exchange.broken(failure, time.monotonic())
        if error is not None:
            raise error from exchange.cause(cause)

    async def _again(self, exchange: Exchange, error: RequestError) -> None:
        """Send the request again after a pause, or raise the error if that is not worth it."""
        jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
        pause = exchange.retry(error, time.monotonic(), jitter)
        exchange.deadlines.waiting = None
        await asyncio.sleep(pause)
        self._check_left(exchange)
        await self._start(exchange)


def _look_after(reference: weakref.ref[AsyncTextStream]) -> None:
    """Check a stream's deadlines, and again later; the loop must not keep a stream alive that was dropped."""
    stream = reference()
    now = time.monotonic()
    again = None if stream is None else stream.check_deadline(now)
    if again is not None:
        asyncio.get_running_loop().call_later(again - now, _look_after, reference)


class _Pieces:
    """The iterator of one ``async for``: dropped by ``break``, and then it closes the stream.

    A class and not an async generator: ``break`` leaves one of those open until the loop gets round to it.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncTextStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        text = await self._stream._read()  # noqa: SLF001 - two halves of one thing
        if not text:
            raise StopAsyncIteration
        return text

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._stream._leave(self._stream._in_loop)  # noqa: SLF001


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
