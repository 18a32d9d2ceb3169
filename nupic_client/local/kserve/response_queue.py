"""The bounded queue of responses between the threads that generate and the thread that sends."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ResponseQueue"]

Item = TypeVar("Item")

LIMIT = 4
"""Responses in the queue. Few, so that an engine does not run far ahead of a client that reads slowly."""


class ResponseQueue(Generic[Item]):
    """Collect the items of several producers for one consumer. Thread-safe.

    Iterating ends when every producer is done, or at once when the queue is closed.

    Args:
        producers: the most producers at a time; None for any number.
        patience: seconds that a producer waits for the consumer to take an item; None for ever.
        on_stall: called when that time has passed; the queue is closed then.
    """

    def __init__(
        self,
        *,
        producers: int | None = None,
        patience: float | None = None,
        on_stall: Callable[[], object] = lambda: None,
    ) -> None:
        self._most = producers
        self._patience = patience
        self._on_stall = on_stall
        self.closed: threading.Event = threading.Event()
        """Set when the consumer is gone, which tells engines to stop."""
        self._items: deque[Item] = deque()
        self._taken = 0
        self._producers = 0
        self._changed = threading.Condition()

    def open_producer(self) -> bool:
        """Register a producer, for whose `close_producer` the iteration waits.

        Waits while the limit of producers is reached. Returns False, and registers none, if the queue is closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._most is None or self._producers < self._most or self.closed.is_set()
            )
            if self.closed.is_set():
                return False
            self._producers += 1
            return True

    def close_producer(self) -> None:
        """Unregister a producer, which has put its last item."""
        with self._changed:
            self._producers -= 1
            self._changed.notify_all()

    def put(self, item: Item) -> bool:
        """Add an item; waits while the queue is full. Returns False if the queue is closed."""
        with self._changed:
            room = self._wait_for_room()
            if room and not self.closed.is_set():
                self._items.append(item)
                self._changed.notify_all()
                return True
        if not room:
            self.close()
            self._on_stall()
        return False

    def _wait_for_room(self) -> bool:
        """Wait for room or the end of the queue; return False if the consumer takes nothing for too long."""

        def room() -> bool:
            return len(self._items) < LIMIT or self.closed.is_set()

        taken = self._taken
        while not self._changed.wait_for(room, self._patience):
            if self._taken == taken:
                return False
            taken = self._taken  # the consumer reads, but other producers were faster
        return True

    def close(self, *last: Item) -> None:
        """Drop the items and end the iteration, after the item ``last``. Only the first call counts."""
        with self._changed:
            if self.closed.is_set():
                return
            self.closed.set()
            self._items.clear()
            self._items.extend(last)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or not self._producers or self.closed.is_set())
                if not self._items:
                    return
                item = self._items.popleft()
                self._taken += 1
                self._changed.notify_all()
            yield item
