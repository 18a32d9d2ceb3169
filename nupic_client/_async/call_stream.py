"""A streamed request that is read by awaiting."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
import weakref
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from typing_extensions import Self

from nupic_client._async.driver import AsyncDriver
from nupic_client._async.transport import running_loop, task_is_cancelled
from nupic_client._core.calls import flows
from nupic_client._core.calls.session import StreamSession
from nupic_client._core.calls.stream_state import Later
from nupic_client._grpc import fork, housekeeping
from nupic_client._grpc.call import AsyncStreamCall, NoCall
from nupic_client._grpc.stream import BaseStream
from nupic_client.errors import NupicError, RequestError, StreamClosedError, StreamStateError

__all__ = ["AsyncCallStream", "Items"]

ItemT = TypeVar("ItemT")
SessionT = TypeVar("SessionT", bound=StreamSession[Any])


class AsyncCallStream(BaseStream[SessionT, ItemT]):
    """A streamed request; subclasses say what its users read.

    Args:
        transport: the connection.
        opening: the state of the request, or the flow that makes it; the request is sent by the first read.
        request_id: the id of the request.
    """

    _transport: AsyncDriver
    _call: AsyncStreamCall | NoCall

    def __init__(
        self,
        transport: AsyncDriver,
        opening: SessionT | flows.Flow[SessionT],
        request_id: str,
    ) -> None:
        super().__init__(transport, request_id)
        self._opening = opening  # a flow is run when the request is to be sent
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: NupicError | None = None
        self._starting: SessionT | None = None
        """While the request waits for a server."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Any]:
        """Yield what comes; leaving the loop before its end closes the stream."""

    def cancel(self) -> None:
        """Cancel the request on the server if it is running. Returns at once. Idempotent; safe from any thread."""
        self._leave()

    async def aclose(self) -> None:
        """Same as `cancel`; for ``contextlib.aclosing``."""
        self.cancel()

    async def __aenter__(self) -> Self:
        """Send the request and return the stream; the end of the block closes it.

        Raises:
            RequestError: the model's signature could not be asked for.
            ConfigurationError: the model cannot do what is asked; nothing was sent.
        """
        if self._session is None:
            await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(self._later(error))

    def __del__(self) -> None:
        # grpc.aio does not cancel an abandoned call. The interpreter may be half gone: never raise.
        with contextlib.suppress(Exception):
            self._leave(self._in_loop)

    def _leave(
        self, later: Later | None = None, *, abruptly: bool = False, error: BaseException | None = None
    ) -> None:
        """Do the work of `cancel`, without taking a lock, because destructors call this: see `_grpc.housekeeping`.

        Args:
            later: calls a function later, outside of the destructor.
            abruptly: whether the call cannot go on.
            error: what the reader gets.
        """
        self._given_up = True
        if self._starting is not None:
            self._starting.cancelled(time.monotonic(), later)
        if self._session is not None:
            self._session.cancelled(time.monotonic(), later, error=error)
            # A task that waits wakes by the cancel only, unless the end is on its way.
            waits = self._session.deadlines.waiting is not None and not self._session.complete
            self._call.end(0.0 if waits or abruptly else self._session.patience)

    def _later(self, error: BaseException | None) -> Later | None:
        """Return `_in_loop` for what a destructor raises into a coroutine, wherever that runs."""
        return self._in_loop if isinstance(error, GeneratorExit) else None

    def _in_loop(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(function)
            except RuntimeError:  # the loop is closed
                if not sys.is_finalizing():
                    housekeeping.submit(function)  # not here: this may be a destructor

    async def _open(self) -> SessionT:
        if self._failure is not None:
            raise self._failure
        if self.closed:
            raise StreamClosedError("this stream was closed before its request was sent")
        self._loop = running_loop()
        session = None
        try:
            opening = self._opening
            session = opening if isinstance(opening, StreamSession) else await self._transport.run(opening)
            self._starting = session
            await self._start(session)
        except BaseException as error:
            self._given_up = True  # the opening is half done and cannot be repeated
            if isinstance(error, NupicError):
                self._failure = error
            if session is not None:
                session.cancelled(time.monotonic(), self._later(error), error=error)
            raise
        finally:
            self._starting = None
        self._session = session
        fork.track(self)
        if self._given_up:  # while it was being opened
            self.cancel()
        return session

    def _ended(self) -> SessionT:
        if self._session is None:
            raise self._failure or StreamClosedError("this stream was closed before its request was sent")
        return self._session

    async def _start(self, session: SessionT) -> None:
        self._call = await self._transport.stream(session)
        first_check = self._first_check(session)
        if first_check is not None:
            pause = first_check - time.monotonic()
            asyncio.get_running_loop().call_later(pause, _look_after, weakref.ref(self))

    async def _read(self) -> ItemT:
        """Return the next item, or a false one at the end."""
        session = self._session or await self._open()
        try:
            while True:
                try:
                    return await self._receive(session)
                except RequestError as error:
                    if not session.running:
                        raise
                    await self._again(session, error)
        except BaseException as error:
            session.deadlines.waiting = None
            if session.complete and isinstance(error, NupicError):
                await self._call.last_events(session.patience)
            self._leave(self._later(error), abruptly=not isinstance(error, NupicError), error=error)
            if isinstance(error, RequestError):
                raise error.with_traceback(None)  # noqa: B904 - users need not see what passed it on
            if isinstance(error, RuntimeError) and self._loop is not running_loop():
                raise StreamStateError(
                    "this stream belongs to another event loop: read it in the loop of its first read (the client may be"
                    " used in any)"
                ) from error
            raise
        finally:
            session.deadlines.waiting = None

    async def _receive(self, session: StreamSession[ItemT], *, whole: bool = False) -> ItemT:
        """Return the next item, or a false one at the end; with ``whole`` only that one."""
        read = self._call.read
        clock = time.monotonic
        deadlines = session.deadlines
        asked = deadlines.waiting = clock()
        try:
            while session.running:
                response = await read()
                now = deadlines.waiting = clock()
                session.waited += now - asked
                asked = now
                if response is grpc.aio.EOF:
                    rest = session.ended(now)
                    if rest:
                        return rest
                    break
                item = session.receive(response, now)
                if session.stopped_early:
                    deadlines.waiting = None
                    self.cancel()
                if (item or session.outputs_only) and not whole:
                    return item
            session.check_running()
        except grpc.RpcError as rpc_error:
            self._broken(session, rpc_error)
        except asyncio.CancelledError as cancellation:
            # grpc.aio raises it for our own cancel too. A cancellation of the reading task must pass unchanged.
            if task_is_cancelled():
                raise
            self._check_left(session)
            if session.deadlines.expired is None:
                raise
            self._broken(session, cancellation)
        return session.consumed()

    async def _again(self, session: SessionT, error: RequestError) -> None:
        """Send the request again after a pause, or raise the error if there is no further attempt."""
        jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
        patience = session.patience
        pause = session.retry(error, time.monotonic(), jitter)
        session.deadlines.waiting = None
        self._call.end(patience)  # also the call of an error inside a stream, which may go on
        await asyncio.sleep(pause)
        self._check_left(session)
        await self._start(session)


def _look_after(reference: weakref.ref[AsyncCallStream[Any, Any]]) -> None:
    """Check a stream's deadlines, now and later; the loop must not keep a dropped stream alive."""
    stream = reference()
    now = time.monotonic()
    again = None if stream is None else stream._check_deadline(now)  # noqa: SLF001 - no method for users
    if again is not None:
        asyncio.get_running_loop().call_later(again - now, _look_after, reference)


class Items(Generic[ItemT]):
    """The iterator of one ``async for``: dropped by ``break``, and then it closes the stream.

    A class and not an async generator, because ``break`` leaves a generator open until the loop closes it.
    """

    __slots__ = ("_stream", "_with_outputs")

    def __init__(self, stream: AsyncCallStream[Any, ItemT], *, with_outputs: bool = False) -> None:
        self._stream = stream
        self._with_outputs = with_outputs

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        stream = self._stream
        while not (item := await stream._read()):  # noqa: SLF001 - its own stream
            if not stream._ended().outputs_only:  # noqa: SLF001
                raise StopAsyncIteration
            if self._with_outputs:
                break
        return item

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._stream._leave(self._stream._in_loop)  # noqa: SLF001
