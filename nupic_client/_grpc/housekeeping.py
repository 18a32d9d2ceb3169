"""One thread of the process that ends the calls of streams that were left, and looks after deadlines.

**Streams that were left.** Destructors and generators that are thrown away leave streams too, and those run wherever
Python happens to collect garbage: on any thread, in the middle of gRPC's own code, with gRPC's locks held. If one of them
took another lock of gRPC, two threads could wait for each other for ever. Seen with grpcio 1.85:
``_observability.get_plugin`` held in one thread that collects a stream and so wants the channel's condition, which another
one holds that starts a call and wants ``get_plugin``. gRPC's own destructor of a running call takes the condition too, so
no such call may become garbage. So leaving a stream only leaves a note here: `queue.SimpleQueue.put` is made for that.

**Deadlines.** A reader that is blocked in gRPC cannot look at the clock. This thread does; it keeps no stream alive.

Only starting and ending the thread takes a lock, which is not Python code: Ctrl-C may come anywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import heapq
import itertools
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Protocol, TypeAlias

from nupic_client._grpc import fork

__all__ = ["Registration", "register", "submit", "unregister", "watch"]

_LINGER = 5.0
"""Seconds without a note after which the thread looks whether it is needed."""
_FAREWELL = 1.0
"""Seconds that the end of the interpreter waits for the last notes."""


class Watched(Protocol):
    """A thing with deadlines."""

    def _check_deadline(self, now: float) -> float | None:
        """Do what the clock demands; return when to look again, or None when there is nothing to look after."""
        ...


class Registration:
    """Its holder may leave notes, and its call does not become garbage."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Any = None


Note: TypeAlias = "tuple[Callable[..., object], tuple[Any, ...]]"
Appointment: TypeAlias = "tuple[float, int, weakref.ref[Watched]]"


class _Housekeeper:
    """The thread and its notes: a daemon, started with the first registration and gone soon after the last."""

    def __init__(self, linger: float = _LINGER) -> None:
        self._linger = linger
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # of starting and ending; never taken to leave a note
        self._registrations: set[Registration] = set()
        self._notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._new: deque[Appointment] = deque()
        self._calendar: list[Appointment] = []
        """A heap; only the thread touches it."""
        self._numbers = itertools.count()
        self._wakes = inf
        """When the thread wakes by itself."""
        self._running = False
        # No destructor of a call may run when the interpreter ends and gRPC's threads stand still where they are.
        fork.leak_in_child(self._registrations)

    def _after_fork(self) -> None:
        """Begin anew in a forked child, which has neither the thread nor a right to the parent's calls."""
        fork.leak_in_child(self._notes)
        self._begin()

    def register(self, registration: Registration) -> None:
        """Make sure that the thread runs until the registration is taken back."""
        self._registrations.add(registration)
        if not self._running:
            with self._lock:
                if not self._running:
                    # That it runs is for the thread itself to say: an interrupt may come before there is one, or after.
                    threading.Thread(target=self._run, name="nupic_client.housekeeping", daemon=True).start()

    def unregister(self, registration: Registration) -> None:
        self._registrations.discard(registration)

    def registrations(self) -> tuple[Registration, ...]:
        return tuple(self._registrations)

    def submit(self, function: Callable[..., object], *arguments: Any) -> None:
        self._notes.put((function, arguments))

    def watch(self, watched: Watched, when: float) -> None:
        self._new.append((when, next(self._numbers), weakref.ref(watched)))
        # Seldom: deadlines are long, and a thread that woke for each stream would cost more than the stream's start.
        if when < self._wakes:
            self.submit(_nothing)

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
                function, arguments = self._notes.get(timeout=self._pause())
            except queue.Empty:
                if self._ends():
                    return
            else:
                with contextlib.suppress(Exception):  # of one call; the others are to be ended all the same
                    function(*arguments)
                del function, arguments
            self._keep_appointments()

    def _pause(self) -> float:
        """Return for how long to wait for a note."""
        now = time.monotonic()
        first = self._calendar[0][0] if self._calendar else inf
        # Said before the new ones are looked at: of those that come later, each compares its own time with it.
        self._wakes = min(first, now + self._linger)
        while self._new:
            heapq.heappush(self._calendar, self._new.popleft())
        return max(min(self._wakes, self._calendar[0][0] if self._calendar else inf) - now, 0.0)

    def _keep_appointments(self) -> None:
        now = time.monotonic()
        while self._calendar and self._calendar[0][0] <= now:
            _, number, reference = heapq.heappop(self._calendar)
            watched, again = reference(), None
            if watched is not None:
                with contextlib.suppress(Exception):
                    again = watched._check_deadline(now)  # noqa: SLF001 - no method for users
            del watched
            if again is not None:
                heapq.heappush(self._calendar, (again, number, reference))

    def _ends(self) -> bool:
        with self._lock:
            self._running = False  # first: who holds a registration from here on starts another thread
            self._running = bool(self._registrations) or not self._notes.empty()
            return not self._running


def _nothing() -> None:
    """Wake the thread."""


_housekeeper = _Housekeeper()
atexit.register(_housekeeper.finish)


def register(registration: Registration) -> None:
    """Let the holder of a registration leave notes, until `unregister`. Starts the thread if need be."""
    _housekeeper.register(registration)


def unregister(registration: Registration) -> None:
    """Take a registration back; for destructors too."""
    _housekeeper.unregister(registration)


def calls() -> list[Any]:
    """Return the calls of all registrations."""
    return [registration.call for registration in _housekeeper.registrations()]


def submit(function: Callable[..., object], *arguments: Any) -> None:
    """Have a function called by the thread soon; its exceptions are dropped. For destructors too: takes no lock."""
    _housekeeper.submit(function, *arguments)


def watch(watched: Watched, when: float) -> None:
    """Have the deadlines of a thing checked as long as it lives and wants that. Its owner must be registered.

    Args:
        watched: the thing. It is not kept alive.
        when: when to check first, a reading of ``time.monotonic``.
    """
    _housekeeper.watch(watched, when)
