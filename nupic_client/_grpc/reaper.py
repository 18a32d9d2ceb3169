"""A thread that ends the calls of streams that were left.

Streams are also left by destructors and by generators that are thrown away, and those run wherever Python happens to
collect garbage: on any thread, in the middle of gRPC's own code, with gRPC's locks held. If one of them took another lock
of gRPC, two threads could wait for each other for ever. Seen with grpcio 1.85: ``_observability.get_plugin`` held in one
thread that collects a stream and so wants the channel's condition, which another one holds that starts a call and wants
``get_plugin``. gRPC's own destructor of a call that runs takes the condition too, so no such call may become garbage.

So leaving a stream only leaves a note here, and `queue.SimpleQueue.put` is made for use in destructors.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from nupic_client._grpc import fork

__all__ = ["Lease", "hold", "release", "submit"]

_LINGER = 5.0
"""Seconds without a note after which the thread looks whether it is needed."""
_FAREWELL = 1.0
"""Seconds that the end of the interpreter waits for the last notes."""


class Lease:
    """Who holds one may leave notes, and its call does not become garbage."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Any = None


class _Reaper:
    """The thread and its notes: a daemon, started with the first lease and gone soon after the last."""

    def __init__(self, linger: float = _LINGER) -> None:
        self._linger = linger
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # of starting and ending; never taken to leave a note
        self._leases: set[Lease] = set()
        self._notes: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = queue.SimpleQueue()
        self._running = False
        # No destructor of a call may run when the interpreter ends and gRPC's threads stand still where they are.
        fork.disown(self._leases)

    def after_fork(self) -> None:
        """Begin anew in a forked child, which has neither the thread nor a right to the parent's calls."""
        fork.disown(self._notes)
        self._begin()

    def hold(self, lease: Lease) -> None:
        """Make sure that the thread runs until the lease is released."""
        self._leases.add(lease)
        if not self._running:
            with self._lock:
                if not self._running:
                    # That it runs is for the thread itself to say: an interrupt may come before there is one, or after.
                    threading.Thread(target=self._run, name="nupic_client.reaper", daemon=True).start()

    def release(self, lease: Lease) -> None:
        self._leases.discard(lease)

    def submit(self, function: Callable[..., object], *arguments: Any) -> None:
        self._notes.put((function, arguments))

    def finish(self) -> None:
        """Wait until everything is done that was left to do, but not for ever."""
        if self._running:
            done = threading.Event()
            self.submit(done.set)
            done.wait(_FAREWELL)

    def _run(self) -> None:
        with self._lock:
            if self._running:  # another one was started in the same moment
                return
            self._running = True
        while True:
            try:
                function, arguments = self._notes.get(timeout=self._linger)
            except queue.Empty:
                if self._ends():
                    return
            else:
                with contextlib.suppress(
                    Exception
                ):  # whatever is wrong with one call, the others are to be ended
                    function(*arguments)
                del function, arguments

    def _ends(self) -> bool:
        with self._lock:
            self._running = False  # first: who holds a lease from here on starts another thread
            self._running = bool(self._leases) or not self._notes.empty()
            return not self._running


_reaper = _Reaper()
atexit.register(_reaper.finish)


def hold(lease: Lease) -> None:
    """Let the holder of a lease leave notes, until `release`. Starts the thread if need be."""
    _reaper.hold(lease)


def release(lease: Lease) -> None:
    """Take a lease back; for destructors too."""
    _reaper.release(lease)


def submit(function: Callable[..., object], *arguments: Any) -> None:
    """Have a function called by the thread soon; its exceptions are dropped. For destructors too: takes no lock."""
    _reaper.submit(function, *arguments)
