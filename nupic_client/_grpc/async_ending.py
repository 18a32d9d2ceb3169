"""Calls of asyncio that may end by themselves before they are cancelled; why, says `ending`.

A task of the loop waits for each. Who ends the loop cancels that task, as ``asyncio.run`` does: it holds the
loop up for the moment that the call may still need, since what arrives for a loop that is closed makes gRPC
log "Event loop is closed". That misses the tasks of calls that are left while others are being cancelled. So
each has a generator of the loop, too: those are closed last.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from nupic_client._grpc.ending import FAREWELL

__all__ = ["close", "let_end", "linger", "read_on"]

_PROMPTLY = FAREWELL
"""Seconds that a reader waits for the end of a call after the last word of the answer."""

_UNTIL_TOLD = 0.1
"""Seconds that gRPC may need to tell a loop that its calls were cancelled; it takes less than one thousandth."""

_tasks: dict[asyncio.Task[None], Any] = {}
"""The calls that are ending, with their channels. The loop itself keeps only weak references to its tasks."""


def let_end(call: Any, channel: Any, patience: float) -> None:
    """Cancel a call if it does not end by itself in time. In its loop; returns at once."""
    _keep(_Ending(call, patience), channel)


async def read_on(call: Any, channel: Any, read: Callable[[], Awaitable[Any]], patience: float) -> None:
    """Read the end of a call and wait a moment for that; if it does not come in time, cancel the call later."""
    reading = asyncio.ensure_future(_read(call, read, patience))
    _keep(reading, channel)
    await asyncio.wait({reading}, timeout=_PROMPTLY)


def linger() -> None:
    """Hold up whoever ends this loop right now: unary calls were cancelled, and gRPC has yet to tell the loop of each."""
    _keep(_Moment(asyncio.sleep(_UNTIL_TOLD), loop=asyncio.get_running_loop()), None)


async def close(channel: Any) -> None:
    """Close a channel when its calls that are ending had a little time for it."""
    try:
        await asyncio.sleep(0)  # until those have begun to end that were left just now
        tasks = {task for task, used in tuple(_tasks.items()) if used is channel}
        if tasks:
            await asyncio.wait(tasks, timeout=FAREWELL)
    finally:
        await channel.close()


class _Ending(asyncio.Task[None]):
    """The task that waits for the end of a call and then cancels it. To cancel the task means to wait only a moment more."""

    def __init__(self, call: Any, patience: float) -> None:
        loop = asyncio.get_running_loop()
        self._call = call
        self._over = loop.create_future()
        self._soon = loop.time() + min(patience, FAREWELL)
        call.add_done_callback(self._finish)
        loop.call_later(patience, self._finish)
        super().__init__(self._wait(), loop=loop)
        if getattr(loop, "_asyncgens_shutdown_called", False):  # it takes no more generators
            self.cancel()
        else:
            self._last = _when_the_loop_ends(self)
            _step(self._last)
            self.add_done_callback(lambda done: _step(done._last))  # noqa: SLF001 - its own

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - as of tasks
        self.get_loop().call_at(self._soon, self._finish)
        return True

    def _finish(self, _: object = None) -> None:
        if not self._over.done():
            # If the loop is closed: gRPC, which is dropping the call then, goes on and cancels it.
            with contextlib.suppress(RuntimeError):
                self._over.set_result(None)

    async def _wait(self) -> None:
        await self._over
        self._call.cancel()


async def _when_the_loop_ends(task: _Ending) -> AsyncGenerator[None, None]:
    """Wait for a task if the loop ends before it."""
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _step(generator: AsyncGenerator[None, None]) -> None:
    """Run a generator to its next step, without awaiting anything."""
    # RuntimeError: the loop is closing it, so it ends by itself.
    with contextlib.suppress(StopIteration, StopAsyncIteration, RuntimeError):
        generator.asend(None).send(None)


class _Moment(asyncio.Task[None]):
    """A task that ends when its time is over, and not before."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - as of tasks
        return True


def _keep(task: asyncio.Task[None], channel: Any) -> None:
    for old in [task for task in tuple(_tasks) if task.get_loop().is_closed()]:
        _tasks.pop(old, None)
    # Where somebody closes the loop without cancelling its tasks nothing is to be said either.
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    _tasks[task] = channel
    task.add_done_callback(lambda done: _tasks.pop(done, None))


async def _read(call: Any, read: Callable[[], Awaitable[Any]], patience: float) -> None:
    timer = asyncio.get_running_loop().call_later(patience, call.cancel)
    try:
        with contextlib.suppress(Exception):  # the answer is complete: the status means nothing any more
            while isinstance(await read(), bytes):
                pass
    finally:
        timer.cancel()
        call.cancel()
