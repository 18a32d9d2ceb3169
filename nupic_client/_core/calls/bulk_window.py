"""A bounded window of requests in flight, and the order of their results. Nothing here waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

__all__ = ["InFlightWindow"]

T = TypeVar("T")


class InFlightWindow(Generic[T]):
    """Bound the running jobs and the results that wait for their turn.

    Jobs are started in order and hold one item or several. The window holds at most twice as many items as fit into
    the running jobs: a slow job at the head stops the others only when that is used up.

    Args:
        concurrency: number of jobs that may run.
        ordered: whether results come in the order of the items, or as soon as they arrive.
        job_size: number of items that a job may hold.

    Example:
        >>> window = InFlightWindow[str](2, ordered=True)
        >>> jobs = [window.start([0]), window.start([1])]
        >>> window.finish(jobs[1], ["second"]), window.take()
        ([(1, 'second')], None)
        >>> window.finish(jobs[0], ["first"]), window.take(), window.take()
        ([(0, 'first')], (0, 'first'), (1, 'second'))
    """

    def __init__(self, concurrency: int, *, ordered: bool, job_size: int = 1) -> None:
        self._concurrency = concurrency
        self._ordered = ordered
        self._limit = 2 * concurrency * job_size
        self._running: dict[int, Sequence[int]] = {}
        self._early: dict[int, list[tuple[int, T]]] = {}
        self._ready: deque[tuple[int, T]] = deque()
        self._started = 0
        self._due = 0
        self._held = 0

    @property
    def has_room(self) -> bool:
        """Whether another item may be taken in."""
        return len(self._running) < self._concurrency and self._held < self._limit

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def has_ready(self) -> bool:
        """Whether `take` has an outcome."""
        return bool(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits for its turn."""
        return not self._running and not self._ready

    def start(self, items: Sequence[int]) -> int:
        """Start a job with items of these indexes and return its number."""
        number = self._started
        self._started += 1
        self._held += len(items)
        self._running[number] = items
        return number

    def items(self, number: int) -> Sequence[int]:
        """Return the indexes of the items of a running job."""
        return self._running[number]

    def finish(self, number: int, outcomes: Sequence[T]) -> list[tuple[int, T]]:
        """End a job with one outcome for each of its items; return those with the indexes."""
        pairs = list(zip(self._running.pop(number), outcomes, strict=True))
        if not self._ordered:
            self._ready.extend(pairs)
        elif number == self._due:
            self._ready.extend(pairs)
            self._due += 1
            while self._early and self._due in self._early:
                self._ready.extend(self._early.pop(self._due))
                self._due += 1
        else:
            self._early[number] = pairs
        return pairs

    def take(self) -> tuple[int, T] | None:
        """Return the index and outcome of the item whose turn it is, or None if it has not arrived yet."""
        if not self._ready:
            return None
        self._held -= 1
        return self._ready.popleft()
