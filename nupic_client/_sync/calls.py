"""The unary calls that run at the same time for one reader, as futures; over gRPC see `nupic_client._sync.queued_calls`."""

from __future__ import annotations

import contextlib
import queue
from typing import TYPE_CHECKING, Any, Protocol

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
    """Calls as futures, which other threads complete.

    Args:
        driver: begins and finishes calls.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._calls: dict[Any, Any] = {}
        # Another thread puts calls in as they end; only the reader's thread takes them out.
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._left = False
        self._starting: Attempts | None = None
        """Of the call that is being started; it may have to wait for a server."""
        self._registration = housekeeping.Registration()
        housekeeping.register(self._registration)
        fork.track(self)

    def _after_fork(self) -> None:
        fork.leak_in_child(self._calls, self._ended)
        self._calls, self._ended = {}, queue.SimpleQueue()
        self._left = True

    def start(self, command: Invoke, work: Any) -> None:
        """Start a call, see `Calls`."""
        self._starting = command.attempts
        try:
            call = self._driver.begin(command)
        finally:
            self._starting = None
        if command.attempts is not None:
            command.attempts.call = call
        self._calls[call] = work
        call.add_done_callback(self._ended.put)
        if self._left:  # just now, by another thread
            call.cancel()

    def wait(self, timeout: float | None) -> tuple[Any, Any] | None:
        """Wait until a call has ended, see `Calls`."""
        with contextlib.suppress(queue.Empty):
            call = get_within(self._ended, timeout)
            if call is not None:
                return self._calls.pop(call), call
        return None

    def outcome(self, call: Any) -> Any:
        """Return the response of a call that has ended, see `Calls`."""
        return self._driver.finish(call)

    def leave(self) -> None:
        """Cancel all calls, see `Calls`. By another thread, because destructors call this too."""
        self._left = True
        place = None if self._starting is None else self._starting.place
        if place is not None:
            place.leave()
        if self._calls:
            housekeeping.submit(_cancel, tuple(self._calls))
        housekeeping.unregister(self._registration)
        self._ended.put(None)  # the reader may be waiting

    def done(self) -> None:
        """Let the housekeeping thread end."""
        housekeeping.unregister(self._registration)


def _cancel(calls: tuple[Any, ...]) -> None:
    for call in calls:
        call.cancel()
