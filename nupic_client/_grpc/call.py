"""Calls with a stream of responses, behind classes of our own.

gRPC documents little about the call object that it returns: it is an iterator, and can be cancelled. An interceptor may
return another class, or a bare generator. So we set nothing on that object, and use no more of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from nupic_client._grpc import housekeeping
from nupic_client._grpc.drain import discard_events, drain, is_over
from nupic_client.errors import StreamClosedError

__all__ = ["AsyncStreamCall", "NoCall", "StreamCall", "foreign_call", "loop_here"]


class StreamCall:
    """A call that is read by blocking, by one thread. All methods but `cancel` take no lock, so destructors may call them.

    Args:
        call: the object that gRPC or an interceptor returned.
        channel: its channel, which is kept alive here: gRPC's call does not do that, and a collected channel closes.
    """

    __slots__ = ("_channel", "_drained", "call", "read")

    def __init__(self, call: Iterable[bytes], channel: object) -> None:
        self.call = call
        self.read: Callable[[], bytes] = iter(call).__next__
        """Wait for the next response and return it; raises as gRPC does. Bound directly, for speed: each token calls it."""
        self._channel = channel
        self._drained = threading.Lock()  # acquired by the first who drains, and never released

    @property
    def is_drained(self) -> bool:
        """Whether the last events were read, or will be."""
        return self._drained.locked()

    def cancel(self) -> None:
        """Cancel the call now, which wakes its reader. Takes locks of gRPC."""
        cancel = getattr(self.call, "cancel", None) or getattr(self.call, "close", None)
        if cancel is not None:  # a generator can only be closed
            cancel()

    def cancel_soon(self) -> None:
        """Let the housekeeping thread cancel the call, which wakes its reader."""
        housekeeping.submit(self.cancel)

    def drain_once(self) -> None:
        """Let the housekeeping thread cancel the call and read its last events, once. No thread may read any more."""
        # Most calls were read to their end and need nothing.
        if self._drained.acquire(blocking=False) and not is_over(self.call):
            housekeeping.submit(self._end)

    def discard_events(self) -> None:
        """Read no more events: Ctrl-C interrupted the wait for one."""
        discard_events(self.call)

    def _end(self) -> None:
        self.cancel()
        drain(self.call)


class AsyncStreamCall:
    """A call that is read by awaiting, in its event loop.

    Args:
        call: the object that ``grpc.aio`` returned.
        loop: the loop it was made in.
    """

    __slots__ = ("_call", "_loop", "read")

    def __init__(self, call: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._loop = loop
        self.read: Callable[[], Any] = call.read
        """Wait for the next response and return it, or ``grpc.aio.EOF`` at the end; raises as gRPC does."""

    def cancel(self) -> None:
        """Cancel the call, which wakes its reader: at once in its loop, soon from elsewhere."""
        if self._call.done():
            return
        if loop_here() is self._loop:
            self._call.cancel()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its calls with it
                self._loop.call_soon_threadsafe(self._call.cancel)


class NoCall:
    """A placeholder where this process has no call: nothing to cancel or drain, and reading is an error.

    Args:
        reason: the message of that error.
    """

    __slots__ = ("_reason",)

    is_drained = True

    def __init__(self, reason: str = "nothing was sent") -> None:
        self._reason = reason

    def read(self) -> Any:
        """Raise StreamClosedError."""
        raise StreamClosedError(self._reason)

    def cancel(self) -> None:
        """Do nothing."""

    cancel_soon = drain_once = discard_events = cancel


def foreign_call() -> NoCall:
    """Return the placeholder for a call of the parent process."""
    return NoCall(
        f"this stream belongs to the process that this one (pid {os.getpid()}) was forked from: read it there,"
        " or make another one here"
    )


def loop_here() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
