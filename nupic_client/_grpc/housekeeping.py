"""One thread of the process: it ends the calls of abandoned streams, and checks deadlines.

**Abandoned streams.** Destructors abandon streams too, and they run wherever Python collects garbage: on any thread, in the
middle of gRPC's own code, with gRPC's locks held. If a destructor took another lock of gRPC, two threads could wait for each
other for ever. Seen with grpcio 1.85: one thread held ``_observability.get_plugin``, collected a stream and wanted the
condition of the channel; another thread held the condition, started a call and wanted ``get_plugin``. gRPC's own destructor
of a running call takes the condition too, so such a call must not become garbage. So a stream that is left only puts a
function into a queue, and this thread calls it: `queue.SimpleQueue.put` is safe in destructors.

**Deadlines.** A reader that is blocked in gRPC cannot look at the clock. This thread does. It keeps no stream alive.

Only starting and ending the thread takes a lock, one that is not written in Python: Ctrl-C may come anywhere.
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
from nupic_client._grpc.queues import get_within

__all__ = ["Deferred", "Registration", "register", "submit", "unregister", "watch"]

_LINGER = 5.0
"""Seconds without work after which the thread looks whether it is still needed."""
_EXIT_TIMEOUT = 1.0
"""Seconds that the end of the interpreter waits for the last work."""


class Watched(Protocol):
    """An object with deadlines."""

    def _check_deadline(self, now: float) -> float | None:
        """Act on deadlines that have passed; return when to check again, or None if there is nothing left to check."""
        ...


class Registration:
    """The right to submit work; while it is held, its call does not become garbage."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Any = None


Work: TypeAlias = "tuple[Callable[..., object], tuple[Any, ...]]"
Check: TypeAlias = "tuple[float, int, weakref.ref[Watched]]"


class _Housekeeper:
    """The thread and its work: a daemon, started with the first registration and ended soon after the last."""

    def __init__(self, linger: float = _LINGER) -> None:
        self._linger = linger
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # for starting and ending; never taken to submit work
        self._registrations: set[Registration] = set()
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._new: deque[Check] = deque()
        self._checks: list[Check] = []
        """A heap that only the thread uses."""
        self._numbers = itertools.count()
        self._wakes = inf
        """When the thread wakes up by itself."""
        self._running = False
        # When the interpreter ends, gRPC's threads are stopped wherever they are: no destructor of a call may run then.
        fork.leak(self._registrations)

    def _after_fork(self) -> None:
        """Start over in a forked child, which has no such thread and must not touch the parent's calls."""
        fork.leak(self._work)
        self._begin()

    def _join_greenlets(self) -> None:
        """Take gevent's queue if it has patched threads since: a greenlet that waits at the other stops all of them."""
        before = self._work
        if type(before) is not queue.SimpleQueue:
            self._lock, self._work = threading.RLock(), queue.SimpleQueue()
            with contextlib.suppress(queue.Empty):
                while True:
                    self._work.put(before.get_nowait())

    def register(self, registration: Registration) -> None:
        """Make sure that the thread runs until `unregister`."""
        self._registrations.add(registration)
        if not self._running:
            with self._lock:
                if not self._running:
                    self._join_greenlets()
                    # The thread itself sets `_running`: an interrupt may come just before it starts, or just after.
                    threading.Thread(
                        target=self._run, args=(self._work,), name="nupic_client.housekeeping", daemon=True
                    ).start()

    def unregister(self, registration: Registration) -> None:
        self._registrations.discard(registration)

    def registrations(self) -> tuple[Registration, ...]:
        return tuple(self._registrations)

    def submit(self, function: Callable[..., object], *arguments: Any) -> None:
        self._work.put((function, arguments))

    def watch(self, watched: Watched, when: float) -> None:
        self._new.append((when, next(self._numbers), weakref.ref(watched)))
        # Rarely true: deadlines are long, and waking the thread for each stream would cost more than starting the stream.
        if when < self._wakes:
            self.submit(_nothing)

    def finish(self) -> None:
        """Wait until all submitted work is done, with a limit."""
        if self._running:
            done = threading.Event()
            self.submit(done.set)
            done.wait(_EXIT_TIMEOUT)

    def _run(self, work: queue.SimpleQueue[Work]) -> None:
        with self._lock:
            if work is self._work:
                if self._running:  # another thread was started at the same time
                    return
                self._running = True
        self._park_in_child(work)
        while True:
            try:
                function, arguments = get_within(work, self._pause())
            except queue.Empty:
                self._park_in_child(work)
                if self._ends():
                    return
            else:
                self._park_in_child(work)
                with contextlib.suppress(Exception):  # an error with one call must not spare the others
                    function(*arguments)
                del function, arguments
            self._run_checks()

    def _park_in_child(self, work: queue.SimpleQueue[Work]) -> None:
        """Wait for ever if this is a greenlet in a forked child, where those live on. Its end would print an error."""
        while work is not self._work:
            work.get()  # nobody submits to it any more

    def _pause(self) -> float:
        """Return how long to wait for work."""
        now = time.monotonic()
        first = self._checks[0][0] if self._checks else inf
        # Set before the new checks are taken in: `watch` compares the time of each later check with it.
        self._wakes = min(first, now + self._linger)
        while self._new:
            heapq.heappush(self._checks, self._new.popleft())
        return max(min(self._wakes, self._checks[0][0] if self._checks else inf) - now, 0.0)

    def _run_checks(self) -> None:
        now = time.monotonic()
        while self._checks and self._checks[0][0] <= now:
            _, number, reference = heapq.heappop(self._checks)
            watched, again = reference(), None
            if watched is not None:
                with contextlib.suppress(Exception):
                    again = watched._check_deadline(now)  # noqa: SLF001 - no method for users
            del watched
            if again is not None:
                heapq.heappush(self._checks, (again, number, reference))

    def _ends(self) -> bool:
        with self._lock:
            self._running = False  # first: a registration that comes from here on starts another thread
            self._running = bool(self._registrations) or not self._work.empty()
            return not self._running


def _nothing() -> None:
    """Wake the thread."""


_housekeeper = _Housekeeper()
atexit.register(_housekeeper.finish)


def register(registration: Registration) -> None:
    """Let the holder of a registration submit work, until `unregister`. Starts the thread if it does not run."""
    _housekeeper.register(registration)


def unregister(registration: Registration) -> None:
    """Take a registration back. Takes no lock, for destructors."""
    _housekeeper.unregister(registration)


def calls() -> list[Any]:
    """Return the calls of all registrations."""
    return [registration.call for registration in _housekeeper.registrations()]


def submit(function: Callable[..., object], *arguments: Any) -> None:
    """Let the thread call a function soon; its exceptions are dropped. Takes no lock, for destructors."""
    _housekeeper.submit(function, *arguments)


def watch(watched: Watched, when: float) -> None:
    """Let the thread check the deadlines of an object for as long as it lives and asks for it. Its owner must be registered.

    Args:
        watched: the object. It is not kept alive.
        when: when to check first, a reading of ``time.monotonic``.
    """
    _housekeeper.watch(watched, when)


class Deferred(Registration):
    """A place to call a function from that destructors must not call themselves: it may take locks, or be a user's.

    Made by whoever may take locks, and used once: by `submit` or by `release`, which take none.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        register(self)

    def submit(self, function: Callable[[], object]) -> None:
        """Let the thread call a function soon."""
        submit(_alone, function)
        unregister(self)

    def release(self) -> None:
        """Call nothing."""
        unregister(self)


def _alone(function: Callable[[], object]) -> None:
    """Call a function of a user's, which may raise what ends a program: this thread works for all."""
    with contextlib.suppress(BaseException):
        function()
