"""Calls with a stream of responses, behind classes of our own.

gRPC documents little about the call object that it returns: it is an iterator, and can be cancelled. An interceptor may
return another class, or a bare generator. So we set nothing on that object, and use no more of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from nupic_client._grpc import async_ending, ending, housekeeping
from nupic_client._grpc.drain import discard_events, drain, is_grpc_call, is_over
from nupic_client.errors import StreamClosedError

if TYPE_CHECKING:
    from nupic_client._core.calls.flows import Invoke

__all__ = ["AsyncStreamCall", "NoCall", "StreamCall", "foreign_call", "in_context", "loop_here"]


class StreamCall:
    """A call that is read by blocking, by one thread. All methods but `cancel` take no lock, so destructors may call them.

    Args:
        call: the object that gRPC or an interceptor returned.
        channel: its channel, which is kept alive here: gRPC's call does not do that, and a collected channel closes.
        give_back: takes the channel back when the call has ended by itself, if the call has a channel of its own.
        context: in which the call was started; None for that of the caller.
    """

    __slots__ = ("_drained", "_ended", "_hidden", "_own", "call", "channel", "read")

    def __init__(
        self,
        call: Iterable[bytes],
        channel: Any,
        give_back: Callable[[], object] | None = None,
        context: contextvars.Context | None = None,
    ) -> None:
        self.call: Iterable[bytes] = call
        self.read: Callable[[], bytes] = iter(call).__next__
        """Wait for the next response and return it; raises as gRPC does. Bound directly, for speed: each token calls it."""
        self.channel: Any = channel
        self._ended = False
        # What closes the channel must not find it given back, nor the other way round: who pops this may.
        self._own = [] if give_back is None else [give_back]
        self._hidden = bool(self._own) and not is_grpc_call(call)
        """Whether an interceptor hides the call of gRPC, so that it ends with its channel."""
        if self._hidden:
            # Tracing agents set variables of the context, and complain if those are reset in that of another thread, which
            # reads the end of what was left.
            context = contextvars.copy_context() if context is None else context.copy()
            self.read = partial(context.run, self.read)
        self._drained = threading.Lock()  # acquired by the first who drains, and never released

    @property
    def is_drained(self) -> bool:
        """Whether the last events were read, or will be."""
        return self._drained.locked()

    def cancel(self) -> None:
        """Cancel the call now, which wakes its reader. Takes locks of gRPC."""
        if self._hidden:
            if self._take_channel() is not None:
                self.channel.close()
            return
        cancel = getattr(self.call, "cancel", None) or getattr(self.call, "close", None)
        if cancel is not None:  # a generator can only be closed
            cancel()

    def note_end(self) -> None:
        """Note that the reader was told the end."""
        self._ended = True

    def cancel_soon(self, patience: float = 0.0) -> None:
        """Get the call cancelled, which wakes its reader.

        Args:
            patience: seconds that it may take to end by itself first.
        """
        if patience:
            ending.let_end(self.channel, self.cancel, patience)
        else:
            housekeeping.submit(self.cancel)

    def drain_once(self, patience: float = 0.0) -> None:
        """Get the call cancelled and its last events read, once. No thread may read any more.

        Args:
            patience: seconds that it may take to end by itself first.
        """
        if not self._drained.acquire(blocking=False):
            return
        # Most calls were read to their end, and need nothing.
        if is_over(self.call) or (self._ended and self._hidden):
            self._return_channel()
        elif patience:
            ending.let_end(self.channel, self._end, patience)
        else:
            housekeeping.submit(self._end)

    def discard_events(self) -> None:
        """Read no more events: Ctrl-C interrupted the wait for one."""
        discard_events(self.call)

    def _end(self) -> None:
        self.cancel()
        drain(self.call)
        if self._hidden:
            with contextlib.suppress(Exception):  # its channel is closed: there is an end, of whatever kind
                while True:
                    self.read()
        self._return_channel()

    def _take_channel(self) -> Callable[[], object] | None:
        try:
            return self._own.pop()
        except IndexError:
            return None

    def _return_channel(self) -> None:
        give_back = self._take_channel()
        if give_back is not None:
            give_back()


class AsyncStreamCall:
    """A call that is read by awaiting, in its event loop.

    Args:
        call: the object that ``grpc.aio`` returned.
        loop: the loop it was made in.
        channel: its channel.
    """

    __slots__ = ("_call", "_ending", "_loop", "channel", "read")

    call = None
    """It has nothing to say without being awaited."""

    def __init__(self, call: Any, loop: asyncio.AbstractEventLoop, channel: Any) -> None:
        self._call = call
        self._ending = False
        self._loop = loop
        self.channel = channel
        self.read: Callable[[], Any] = call.read
        """Wait for the next response and return it, or ``grpc.aio.EOF`` at the end; raises as gRPC does."""

    def cancel(self) -> None:
        """Cancel the call, which wakes its reader: at once in its loop, soon from elsewhere."""
        if self._call.done():
            return
        if loop_here() is self._loop:
            self._call.cancel()
        else:
            self._soon(self._call.cancel)

    def end(self, patience: float) -> None:
        """Have the call cancelled when it does not end by itself. Returns at once; for destructors too.

        Args:
            patience: seconds that it may take for that.
        """
        if not patience:
            self.cancel()
        elif not self._ending and not self._call.done():
            self._ending = True
            self._soon(async_ending.let_end, self._call, self.channel, patience)

    async def last_events(self, patience: float) -> None:
        """Wait a moment for the end of a call whose answer is complete, which comes at once; as `end` if it does not."""
        if not self._ending and not self._call.done():
            self._ending = True
            await async_ending.read_on(self._call, self.channel, self.read, patience)

    def _soon(self, function: Callable[..., object], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its calls with it
            self._loop.call_soon_threadsafe(function, *arguments)


class NoCall:
    """A placeholder where this process has no call: nothing to cancel or drain, and reading is an error.

    Args:
        reason: the message of that error.
    """

    __slots__ = ("_reason",)

    call = None
    is_drained = True

    def __init__(self, reason: str = "nothing was sent") -> None:
        self._reason = reason

    def read(self) -> Any:
        """Raise StreamClosedError."""
        raise StreamClosedError(self._reason)

    def cancel(self) -> None:
        """Do nothing."""

    def end(self, patience: float = 0.0) -> None:
        """Leave everything alone."""

    async def last_events(self, patience: float) -> None:
        """Leave everything alone."""

    cancel_soon = drain_once = end
    note_end = cancel
    discard_events = cancel


def in_context(command: Invoke, start: Callable[..., Any]) -> Callable[..., Any]:
    """Return what starts a unary call where interceptors see the context variables of the request's observers."""
    attempts = command.attempts
    if attempts is None or attempts.observation is None:
        return start
    return partial(attempts.observation.context.run, start)


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
