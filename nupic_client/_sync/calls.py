"""The unary calls that run at the same time for one reader, as futures; over gRPC see `nupic_client._sync.queued_calls`."""

from __future__ import annotations

import _thread
import contextlib
import queue
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nupic_client._grpc import fork, housekeeping
from nupic_client._grpc.queues import get_within

if TYPE_CHECKING:
    from nupic_client._core.calls.flows import Attempts, Invoke
    from nupic_client._sync.driver import Driver

__all__ = ["Calls", "FutureCalls"]


class Calls(Protocol):
    """Calls of one reader. One thread uses them; `leave` may be called from anywhere, also by destructors."""

    def start(self, command: Any, work: Any) -> None:
        """Start a call, for `wait` to return with the work. Raises what the transport raises for a call."""
        ...

    def wait(self, timeout: float | None) -> tuple[Any, Any] | None:
        """Wait until a call has ended; return its work, and itself for `outcome`.

        Args:
            timeout: seconds after which None is returned; None waits without limit. `leave` ends the wait too.
        """
        ...

    def outcome(self, call: Any) -> Any:
        """Return the response of a call that has ended.

        Raises:
            RequestError: it failed.
        """
        ...

    def leave(self) -> None:
        """Cancel all calls. Returns at once and takes no lock."""
        ...

    def done(self) -> None:
        """Give back what is needed no more: all calls have ended."""
        ...


class FutureCalls:
    """Calls as futures, which other threads start and complete.

    The reader's thread uses queues only: Ctrl-C, which comes there, would leave locks of gRPC's futures locked for ever.

    Args:
        driver: begins and finishes calls.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._calls: dict[Any, Any] = {}
        """The calls that run, with their work."""
        self._begun: queue.SimpleQueue[tuple[Invoke, Any] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[Any, Ended] | None] = queue.SimpleQueue()
        self._left = False
        self._started = False
        """Whether the thread runs that starts calls."""
        self._starting: Attempts | None = None
        """Of the call that is being started; it may have to wait for a server."""
        self._registration = housekeeping.Registration()
        housekeeping.register(self._registration)
        fork.track(self)

    def _after_fork(self) -> None:
        fork.leak(self._calls, self._begun, self._ended)
        self._calls, self._begun, self._ended = {}, queue.SimpleQueue(), queue.SimpleQueue()
        self._left = True

    def start(self, command: Invoke, work: Any) -> None:
        """Start a call, see `Calls`."""
        if not self._started:
            self._started = True
            # Not by `threading.Thread`: Ctrl-C in its `start` may end in a RuntimeError of its own locks.
            _thread.start_new_thread(self._start_all, (self._begun,))
        self._begun.put((command, work))

    def _start_all(self, begun: queue.SimpleQueue[tuple[Invoke, Any] | None]) -> None:
        while (item := begun.get()) is not None:
            command, work = item
            self._starting = command.attempts
            try:
                call = self._driver.begin(command)
            except BaseException as error:  # noqa: BLE001 - also an interceptor's: the reader raises it, and waits for it
                self._ended.put((work, Ended(error=error)))
                continue
            finally:
                self._starting = None
            if command.attempts is not None:
                command.attempts.call = call
            self._calls[call] = work
            call.add_done_callback(self._finish)
            if self._left:  # just now, by another thread
                call.cancel()

    def _finish(self, call: Any) -> None:
        """Take in the end of a call."""
        work = self._calls.pop(call, None)
        try:
            ended = Ended(self._driver.finish(call))
        except BaseException as error:  # noqa: BLE001
            ended = Ended(error=error)
        self._ended.put((work, ended))

    def wait(self, timeout: float | None) -> tuple[Any, Any] | None:
        """Wait until a call has ended, see `Calls`."""
        with contextlib.suppress(queue.Empty):
            return get_within(self._ended, timeout)
        return None

    def outcome(self, call: Ended) -> Any:
        """Return the response of a call that has ended, see `Calls`."""
        if call.error is not None:
            raise call.error
        return call.response

    def leave(self) -> None:
        """Cancel all calls, see `Calls`. By another thread, because destructors call this too."""
        self._left = True
        place = None if self._starting is None else self._starting.place
        if place is not None:
            place.leave()
        housekeeping.submit(_cancel, self._calls)
        self.done()
        self._ended.put(None)  # the reader may be waiting

    def done(self) -> None:
        """Let the threads end."""
        self._begun.put(None)
        housekeeping.unregister(self._registration)


class Ended(NamedTuple):
    """What came of a call."""

    response: Any = None
    error: BaseException | None = None


def _cancel(calls: dict[Any, Any]) -> None:
    for call in tuple(calls):
        call.cancel()
