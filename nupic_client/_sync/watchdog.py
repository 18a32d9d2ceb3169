"""One thread that looks after the deadlines of the streams whose readers are blocked in gRPC."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import weakref
from typing import Protocol

__all__ = ["Watchdog"]


class Watched(Protocol):
    """What the watchdog looks after."""

    def check_deadline(self, now: float) -> float | None:
        """Do what the clock demands; return when to look again, or None when there is nothing to look after."""
        ...


class Watchdog:
    """Call `check_deadline` of many things, each at the times it asks for.

    The thread is a daemon, started with the first thing and gone soon after the last. It keeps nothing alive.
    Thread-safe, also when Ctrl-C interrupts it anywhere.
    """

    def __init__(self) -> None:
        # The lock is entered by itself: an interrupt inside `Condition.__enter__`, which is Python code, would leave it
        # locked for ever.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._queue: list[tuple[float, int, weakref.ref[Watched]]] = []
        self._numbers = itertools.count()
        self._running = False

    def watch(self, watched: Watched, when: float) -> None:
        """Look at this for the first time at ``when``, a reading of ``time.monotonic``."""
        with self._lock:
            heapq.heappush(self._queue, (when, next(self._numbers), weakref.ref(watched)))
            if not self._running:
                # That it runs is for the thread itself to say: an interrupt may come before there is one, or after.
                threading.Thread(target=self._run, name="nupic_client.watchdog", daemon=True).start()
            elif self._queue[0][0] == when:
                self._changed.notify()

    def stop(self) -> None:
        """Forget everything, which ends the thread; it starts again with the next thing to watch."""
        with self._lock:
            self._queue.clear()
            self._changed.notify()

    def _run(self) -> None:
        with self._lock:
            if self._running:  # another one was started in the same moment
                return
            self._running = True
        while True:
            with self._lock:
                if not self._queue:
                    self._running = False
                    return
                when, number, reference = self._queue[0]
                pause = when - time.monotonic()
                if pause > 0:
                    self._changed.wait(pause)
                    continue
                heapq.heappop(self._queue)
            watched = reference()
            again = None if watched is None else watched.check_deadline(time.monotonic())
            del watched
            if again is not None:
                with self._lock:
                    heapq.heappush(self._queue, (again, number, reference))
