"""A streamed request that is read by blocking."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeVar

import grpc
from typing_extensions import Self

from nupic_client._core.calls.session import StreamSession
from nupic_client._core.calls.stream_state import Later
from nupic_client._grpc import fork, housekeeping
from nupic_client._grpc.call import NoCall, StreamCall
from nupic_client._grpc.stream import BaseStream
from nupic_client._sync.driver import StreamDriver
from nupic_client.errors import NupicError, RequestError, StreamStateError

__all__ = ["CallStream"]

ItemT = TypeVar("ItemT")
SessionT = TypeVar("SessionT", bound=StreamSession[Any])


class CallStream(BaseStream[SessionT, ItemT]):
    """A streamed request; subclasses say what its users read.

    Args:
        transport: the connection.
        session: the state of the request, which is sent now.
    """

    _transport: StreamDriver
    _session: SessionT
    _call: StreamCall | NoCall

    def __init__(self, transport: StreamDriver, session: SessionT) -> None:
        super().__init__(transport, session.request_id)
        self._closed_signal = _locked()
        self._turn = _Turn()
        self._registration = housekeeping.Registration()
        self._session = session
        housekeeping.register(self._registration)
        try:
            self._start(session)
        except BaseException as error:
            session.cancelled(time.monotonic(), error=error)
            raise
        fork.track(self)

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """Yield what comes; leaving the loop before its end closes the stream."""

    def close(self) -> None:
        """Cancel the request on the server if it is running. Returns at once. Idempotent; safe from any thread."""
        self._leave()

    def cancel(self) -> None:
        """Same as `close`; the async stream has only this name."""
        self.close()

    def __enter__(self) -> Self:
        """Return the stream; the end of the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(housekeeping.submit if kind is GeneratorExit else None)

    def __del__(self) -> None:
        # The server must not work for a dropped stream. The interpreter may be half gone: never raise.
        with contextlib.suppress(Exception):
            try:
                if not self._call.is_drained:
                    self._leave(housekeeping.submit)
            finally:
                housekeeping.unregister(self._registration)

    def _items(self, *, with_outputs: bool = False) -> Iterator[ItemT]:
        session = self._session
        try:
            while (item := self._read()) or session.outputs_only:
                if item or with_outputs:
                    yield item
        except StreamStateError:  # it is closed already, or another thread is reading it
            raise
        except GeneratorExit:  # from break, or from the destructor of a generator
            self._leave(housekeeping.submit)
            raise
        except BaseException:
            self.close()
            raise
        self.close()

    def _leave(
        self, later: Later | None = None, *, abruptly: bool = False, error: BaseException | None = None
    ) -> None:
        """Close the stream without taking a lock, because destructors call this: see `housekeeping`.

        Args:
            later: calls a function later, outside of the destructor.
            abruptly: whether the call cannot go on.
            error: what the reader gets.
        """
        if self._session.running:
            self._session.cancelled(time.monotonic(), later, error=error)
        self._end_call(0.0 if abruptly else self._session.patience)
        housekeeping.unregister(self._registration)
        if self._closed_signal.locked():
            with contextlib.suppress(RuntimeError):  # another thread did it just now
                self._closed_signal.release()

    def _after_fork(self) -> None:
        super()._after_fork()
        self._turn = _Turn()
        self._closed_signal = _locked()

    def _end_call(self, patience: float) -> None:
        """Get the call cancelled and freed. Cancelling wakes a thread that is reading, which then calls this itself.

        Args:
            patience: seconds that the call may take to end by itself first.
        """
        call = self._call
        if call.is_drained:
            return
        if self._session.deadlines.waiting is not None:
            call.cancel_soon(patience if self._session.complete else 0.0)
        else:
            call.drain_once(patience)

    def _start(self, session: SessionT) -> None:
        self._call = self._registration.call = self._transport.stream(session)
        first_check = self._first_check(session)
        if first_check is not None:
            housekeeping.watch(self, first_check)

    def _read(self) -> ItemT:
        """Return the next item, or a false one at the end."""
        session, turn = self._session, self._turn
        try:
            del turn.free  # only one of several threads can: no lock, because each token comes here
        except AttributeError:
            raise StreamStateError(
                "this stream is being read by another thread: let one thread read it, or make a stream for each"
            ) from None
        try:
            while True:
                try:
                    return self._receive(session)
                except RequestError as error:
                    if not session.running:
                        raise
                    self._again(session, error)
        except BaseException as error:
            session.deadlines.waiting = None
            ours = isinstance(error, NupicError)
            if not ours:  # KeyboardInterrupt in the middle of the wait
                self._call.discard_events()
            self._leave(abruptly=not ours, error=error)
            if isinstance(error, RequestError):
                raise error.with_traceback(None)  # noqa: B904 - users need not see what passed it on
            raise
        finally:
            session.deadlines.waiting = None
            turn.free = True

    def _receive(self, session: StreamSession[ItemT], *, whole: bool = False) -> ItemT:
        """Return the next item, or a false one at the end; with ``whole`` only that one."""
        read = self._call.read
        clock = time.monotonic
        deadlines = session.deadlines
        asked = deadlines.waiting = clock()
        try:
            while session.running:
                response = read()
                now = deadlines.waiting = clock()
                session.waited += now - asked
                asked = now
                item = session.receive(response, now)
                if session.stopped_early:
                    deadlines.waiting = None
                    self.close()
                if (item or session.outputs_only) and not whole:
                    return item
            session.check_running()
        except StopIteration:
            return self._take_end(session)
        except grpc.RpcError as rpc_error:
            self._call.note_end()
            self._broken(session, rpc_error)
        except NupicError:
            raise
        except Exception as error:
            if session.running and session.deadlines.expired is None and not self._transport.closed:
                raise
            self._broken(session, error)  # what an interceptor makes of a call that this side cancelled
        return session.consumed()

    def _take_end(self, session: StreamSession[ItemT]) -> ItemT:
        """Take the regular end of the call; return the item that was held back until then; usually there is none."""
        self._call.note_end()
        if not session.answered:
            self._check_left(session)
        return session.ended(time.monotonic()) or session.consumed()

    def _again(self, session: SessionT, error: RequestError) -> None:
        """Send the request again after a pause, or raise the error if there is no further attempt."""
        jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
        patience = session.patience
        pause = session.retry(error, time.monotonic(), jitter)
        session.deadlines.waiting = None
        self._end_call(patience)  # a call with an error in its stream may still be running
        self._closed_signal.acquire(timeout=pause)
        self._check_left(session)
        self._start(session)


class _Turn:
    """Whose turn it is to read: the thread that has deleted ``free``."""

    __slots__ = ("free",)

    def __init__(self) -> None:
        self.free = True


def _locked() -> threading.Lock:
    """Return a locked lock; releasing it ends a pause.

    An `Event` is written in Python: an interrupt in the middle of its `set` would leave it locked for ever.
    """
    lock = threading.Lock()
    lock.acquire()
    return lock
