"""Many calls of one reader over one completion queue of gRPC, read by the thread that waits for them.

gRPC's futures are served by a thread of each channel: every answer changes threads, and each call has locks of its own.
Here the reader takes the events itself, one for each call, in a channel that nothing else uses: half of the processor time,
and twice as many requests a second (docs/explanation/speed.md). The futures are used where gRPC's own channel is not seen,
as behind interceptors: see `nupic_client._sync.calls`.

gRPC has no public name for it. It is what gRPC's futures are made of; ``tests/grpc/test_canaries.py`` watches it.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import Any, TypeVar

import grpc
from grpc._cython import cygrpc

from nupic_client._core.kserve import wire
from nupic_client._grpc import ending, fork, housekeeping
from nupic_client._grpc.queued_call import CANCELLED, FLAGS, LEFT, QueuedCall

__all__ = ["CallQueue", "can_queue", "path_of"]


def can_queue(channel: Any) -> bool:
    """Return whether a channel is gRPC's own, so that a queue can be made of it, and nobody intercepts its calls."""
    inner = getattr(channel, "_channel", None)
    return (
        type(channel).__module__ == "grpc._channel"
        and isinstance(inner, cygrpc.Channel)
        and all(hasattr(inner, name) for name in ("integrated_call", "next_call_event", "close_on_fork"))
        and not getattr(cygrpc, "g_gevent_activated", False)
    )


CallT = TypeVar("CallT", bound=QueuedCall)


class CallQueue:
    """A channel whose calls one thread starts and waits for. `abandon` may be called from anywhere.

    Args:
        channel: gRPC's own; it belongs to the queue from now on.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._outer = channel
        self._channel: Any = channel._channel  # noqa: SLF001 - see above
        self._calls: set[QueuedCall] = set()
        self._alarm: QueuedCall | None = None
        self._alarm_end = 0.0
        """When the alarm goes off, by the monotonic clock."""
        self._waiting = threading.Lock()
        self._interrupted = False
        """Whether Ctrl-C came in the middle of gRPC, whose locks are written in Python: one may be locked for ever."""
        # A channel with running calls must not be destroyed, which would wait for ever for their events.
        self._registration = housekeeping.Registration()
        self.abandoned = False
        """Whether `abandon` was called: only the calls that are running may be waited for."""
        fork.track(self)

    def _after_fork(self) -> None:
        """Leave all to the parent; nothing can be done with it in a child."""
        fork.leak(self._outer, self._channel, self._calls, self._alarm)
        self._calls = set()
        self._alarm = None
        self._waiting = threading.Lock()
        self.abandoned = True

    def take(self) -> None:
        """Begin to use the queue."""
        self._registration.call = self
        housekeeping.register(self._registration)

    def give_back(self) -> bool:
        """End the use of the queue; return whether it can be used again: no call is running."""
        if self.abandoned or self._calls or self._alarm is not None:
            return False
        self._unregister()
        return True

    def _unregister(self) -> None:
        housekeeping.unregister(self._registration)
        self._registration.call = None  # a cycle would keep the connection until garbage is collected

    def close(self) -> None:
        """Close the channel of a queue that nobody uses."""
        self._outer.close()

    @property
    def running(self) -> int:
        """How many calls are running."""
        return len(self._calls)

    def start(
        self,
        method: bytes,
        request: bytes,
        timeout: float | None,
        metadata: Any,
        work: Any,
        kind: type[CallT] = QueuedCall,  # type: ignore[assignment]
    ) -> CallT:
        """Start a call.

        Args:
            method: its path.
            request: its serialized message.
            timeout: seconds, or None.
            metadata: sent with it.
            work: kept in the call.
            kind: the class of the call.

        Raises:
            ValueError: gRPC closed the channel.
        """
        made = kind(work)
        batches = made.batches(request, metadata or None)
        self._calls.add(made)  # first: Ctrl-C may come when it has just begun
        deadline = None if timeout is None else time.time() + timeout
        try:
            made.call = self._begin(method, deadline, metadata or None, batches)
        except Exception:
            self._calls.discard(made)
            raise
        except BaseException:  # the call may be running, and only its channel can end it
            self._interrupted = True
            if self._waiting.acquire(blocking=False):
                try:
                    self._close()
                finally:
                    self._waiting.release()
            raise
        if self.abandoned:  # just now, by another thread
            made.cancel()
        return made

    def _begin(self, method: bytes, deadline: float | None, metadata: Any, batches: Any) -> Any:
        return self._channel.integrated_call(
            cygrpc.PropagationConstants.GRPC_PROPAGATE_DEFAULTS,
            method,
            None,
            deadline,
            metadata,
            None,
            batches,
            None,
        )

    def wait(self, timeout: float | None = None) -> QueuedCall | None:
        """Wait until a call reports itself, mostly because it has ended, and return it.

        Args:
            timeout: seconds after which None is returned, or None for no limit; with 0 only calls that have ended count.
        """
        if timeout == 0.0 and not self._calls and self._alarm is None:
            return None
        try:
            return self._next(None if timeout is None else time.monotonic() + timeout)
        except BaseException:  # gRPC may have lost an event, so that nobody can wait for the end of all calls
            self._interrupted = True
            for call in tuple(self._calls):
                call.cancel()
            raise

    def _next(self, end: float | None) -> QueuedCall | None:
        while True:
            if end is not None and not self.abandoned:
                self._set_alarm(end)
            with self._waiting:
                if not self._calls and (end is None or self._alarm is None):
                    return None
                event = self._channel.next_call_event()
            call = event.tag
            if call is None:  # gRPC looks up now and then where it supports forks
                continue
            if call is self._alarm:
                self._alarm = None
                if end is not None and time.monotonic() >= end:
                    return None
                continue  # it was set for an earlier wait
            if not isinstance(call, QueuedCall) or call not in self._calls:
                continue
            reported = call.takes(event.batch_operations)
            if call.over:
                self._calls.discard(call)
            if reported:
                return call

    def _set_alarm(self, end: float) -> None:
        """Have an event come not later than some reading of the clock: a call that sends nothing ends at its deadline."""
        if self._alarm is not None:
            if end < self._alarm_end:
                self._alarm.cancel()  # its event comes at once; then another one is set
            return
        alarm = QueuedCall(None)
        operations = (cygrpc.ReceiveStatusOnClientOperation(FLAGS),)
        seconds = end - time.monotonic()
        self._alarm, self._alarm_end = alarm, end
        try:
            alarm.call = self._begin(
                b"/alarm", time.time() + seconds if seconds > 0 else None, None, ((operations, alarm),)
            )
        except ValueError:  # gRPC closed the channel
            self._alarm = None
            if not self.abandoned:
                raise
        if seconds <= 0 or self.abandoned:  # at once: gRPC's timers may be milliseconds late
            alarm.cancel()

    def abandon(self) -> None:
        """Cancel all calls, and close the channel when the last one has ended. Takes locks: not for destructors.

        Waits for the thread that is in `wait`, which the cancelled calls wake up.
        """
        self.abandoned = True
        for call in tuple(self._calls):
            call.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
        with self._waiting:
            calls = self._close()
        for call in calls:  # outside of the lock: what waited for them ends now
            call.forget()
        self._unregister()

    def _close(self) -> tuple[QueuedCall, ...]:
        """Close the channel and return the calls that ran, which nobody takes in any more."""
        # The one way of gRPC that takes the events of running calls itself; `close` would wait for another thread.
        self.abandoned = True
        self._channel.close_on_fork(CANCELLED, LEFT)
        calls = tuple(self._calls)
        self._calls.clear()
        self._alarm = None
        return calls

    def abandon_soon(self) -> None:
        """Have the housekeeping thread call `abandon`, or `abandon_in_time`. Takes no lock, for destructors."""
        self.abandoned = True
        patience = max((call.patience for call in tuple(self._calls)), default=0.0)
        if self._interrupted:
            housekeeping.submit(self._abandon_apart)
        elif patience:
            housekeeping.submit(self._abandon_in_time, patience)
        else:
            housekeeping.submit(self.abandon)

    def _abandon_in_time(self, patience: float) -> None:
        """Cancel the calls that may be cancelled now, and call `abandon` when the others had their time."""
        ending.let_end(self._outer, self.abandon, patience)
        for call in tuple(self._calls):
            if not call.patience:
                call.cancel()

    def _abandon_apart(self) -> None:
        """Call `abandon` in a thread of its own, which may wait for ever."""
        threading.Thread(target=self.abandon, name="nupic_client.interrupted", daemon=True).start()


@lru_cache
def path_of(method: str) -> bytes:
    """Return the path of a method as gRPC's core takes it."""
    return wire.method_path(method).encode()
