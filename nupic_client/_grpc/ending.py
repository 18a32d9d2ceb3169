"""Calls that may end by themselves before they are cancelled.

Triton 2.51 loses a request whose call is cancelled just when its answer ends: the model of that request stays UNLOADING for
ever, and now and then the server dies of it. So a call whose answer is complete is left alone for a while. For the server
that is enough: its last messages are small, and need no reader. A blocking reader does not wait for it on this side:
the thread of `housekeeping` looks at the clock.

A channel that closes cancels its calls, and so does a process that ends. So the channel closes later, and the process gives
them a little of that time.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from nupic_client._grpc import fork, housekeeping

__all__ = ["FAREWELL", "close", "let_end"]

FAREWELL = 0.25
"""Seconds that a call gets of its time where somebody waits for it: at the end of the process, or of a loop."""


@runtime_checkable
class Ends(Protocol):
    """A call that is being read, or was left."""

    channel: Any
    is_drained: bool

    def cancel(self) -> None:
        """Cancel it."""
        ...


class _Appointment(housekeeping.Registration):
    """Something to be done at a time; the list of registrations keeps it alive until then."""

    __slots__ = ("__weakref__", "_function", "until", "when")

    def __init__(self, channel: Any, function: Callable[[], object], patience: float) -> None:
        super().__init__()
        now = time.monotonic()
        self.call = channel
        self._function = function
        self.when = now + patience
        self.until = now + min(patience, FAREWELL)

    def begin(self) -> None:
        """Enter it into the calendar. Takes a lock."""
        housekeeping.register(self)
        housekeeping.watch(self, self.when)

    def _check_deadline(self, now: float) -> None:  # noqa: ARG002 - it is asked at its time
        housekeeping.unregister(self)
        _endings.pending.discard(self)
        self._function()


class _Endings:
    """The calls of this process that are ending."""

    def __init__(self) -> None:
        self.pending: set[_Appointment] = set()
        fork.track(self)

    def _after_fork(self) -> None:
        fork.leak(self.pending)
        self.pending = set()

    def wait(self) -> None:
        """Wait until each call had its time. The end of the interpreter does."""
        until = max((item.until for item in tuple(self.pending)), default=0.0)
        time.sleep(max(0.0, until - time.monotonic()))


_endings = _Endings()
atexit.register(_endings.wait)


def let_end(channel: Any, end: Callable[[], object], patience: float) -> None:
    """Have a call ended later. For destructors too: takes no lock; somebody must be registered with `housekeeping`.

    Args:
        channel: of the call.
        end: cancels the call and frees it.
        patience: seconds that the call may take to end by itself first.
    """
    appointment = _Appointment(channel, end, patience)
    _endings.pending.add(appointment)
    housekeeping.submit(appointment.begin)


def close(channel: Any) -> None:
    """Close a channel: at once, or when its calls that are ending had their time, and all others now. Does not wait."""
    endings = [item for item in tuple(_endings.pending) if item.call is channel]
    if not endings:
        channel.close()
        return
    for call in housekeeping.calls():
        if isinstance(call, Ends) and call.channel is channel and not call.is_drained:
            call.cancel()
    pause = max(item.when for item in endings) - time.monotonic()
    _Appointment(channel, channel.close, max(0.0, pause)).begin()
