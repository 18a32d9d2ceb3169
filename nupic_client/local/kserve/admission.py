"""The gate before the models: so many requests run, so many wait in line, and the rest is refused at once."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AdmissionQueue", "QueueFull"]

_LOOK = 0.05
"""Seconds between two looks at the cancel flag while a request waits."""


class QueueFull(Exception):  # noqa: N818 - the answer to a request, not a fault
    """As many run and wait as may."""


class AdmissionQueue:
    """Let requests through in the order of their arrival. Thread-safe.

    Args:
        running: how many may be inside; None for any number.
        waiting: how many may wait outside.
    """

    def __init__(self, running: int | None, waiting: int) -> None:
        self._running = running
        self._waiting = waiting
        self._inside = 0
        self._line: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def passed(self, cancelled: threading.Event) -> Iterator[bool]:
        """Wait for the turn of a request and hold its place; gives False if it was cancelled before.

        Raises:
            QueueFull: there is no place to wait; the message says how many there are.
        """
        turn = self._join()
        came = self._wait(turn, cancelled)
        try:
            yield came
        finally:
            if came:
                self._leave()

    def _join(self) -> threading.Event:
        turn = threading.Event()
        with self._lock:
            if self._running is None or self._inside < self._running:
                self._inside += 1
                turn.set()
            elif len(self._line) < self._waiting:
                self._line.append(turn)
            else:
                raise QueueFull(f"{self._inside} run and {len(self._line)} wait")
        return turn

    def _wait(self, turn: threading.Event, cancelled: threading.Event) -> bool:
        while not turn.wait(_LOOK):
            if cancelled.is_set():
                with self._lock:
                    if not turn.is_set():  # else it came in this moment, and is given back by who holds it
                        self._line.remove(turn)
                        return False
        return True

    def _leave(self) -> None:
        with self._lock:
            if self._line:
                self._line.popleft().set()  # the place goes on to who waited longest
            else:
                self._inside -= 1
