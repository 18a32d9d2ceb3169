"""Admission of requests to the models: some run, some wait in a queue, and the rest is refused at once."""

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
    """Both limits are reached: of requests that run and of requests that wait."""


class AdmissionQueue:
    """Admit requests in the order of their arrival. Thread-safe.

    Args:
        max_running: the most requests that run at a time; None for any number.
        max_waiting: the most requests that wait in the queue.
    """

    def __init__(self, max_running: int | None, max_waiting: int) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._running = 0
        self._queue: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def admitted(self, cancelled: threading.Event) -> Iterator[bool]:
        """Wait until a request may run, and count it as running inside the block.

        Args:
            cancelled: ends the wait.

        Yields:
            True; False if the request was cancelled while it waited.

        Raises:
            QueueFull: the queue is full; the message has the numbers.
        """
        turn = self._join()
        admitted = self._wait(turn, cancelled)
        try:
            yield admitted
        finally:
            if admitted:
                self._leave()

    def _join(self) -> threading.Event:
        turn = threading.Event()
        with self._lock:
            if self._max_running is None or self._running < self._max_running:
                self._running += 1
                turn.set()
            elif len(self._queue) < self._max_waiting:
                self._queue.append(turn)
            else:
                raise QueueFull(f"{self._running} run and {len(self._queue)} wait")
        return turn

    def _wait(self, turn: threading.Event, cancelled: threading.Event) -> bool:
        while not turn.wait(_LOOK):
            if cancelled.is_set():
                with self._lock:
                    if not turn.is_set():  # else it was admitted in this moment, and the caller leaves
                        self._queue.remove(turn)
                        return False
        return True

    def _leave(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().set()  # the longest waiting request runs instead
            else:
                self._running -= 1
