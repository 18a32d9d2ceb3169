"""A bounded queue between the threads that generate and the one that sends; a cancel empties it at once."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Outbox"]

Item = TypeVar("Item")

LIMIT = 4
"""Items that may wait. Few: an engine should not run far ahead of a client that reads slowly."""


class Outbox(Generic[Item]):
    """Collect the items of several producers for one consumer. Thread-safe.

    Iterating ends when every producer is done, or at once when the outbox is closed.
    """

    def __init__(self) -> None:
        self.closed = threading.Event()
        """Set when nobody reads any more: the sign for engines to stop."""
        self._items: deque[Item] = deque()
        self._producers = 0
        self._changed = threading.Condition()

    def open_producer(self) -> None:
        """Announce a producer; iteration waits for its `close_producer`."""
        with self._changed:
            self._producers += 1

    def close_producer(self) -> None:
        """Say that one producer has put its last item."""
        with self._changed:
            self._producers -= 1
            self._changed.notify_all()

    def put(self, item: Item) -> bool:
        """Add an item; waits while the outbox is full. Returns False if nobody reads any more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < LIMIT or self.closed.is_set())
            if self.closed.is_set():
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def close(self, *last: Item) -> None:
        """Drop everything and end the iteration, after the item ``last``. Only the first call counts."""
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
                self._changed.notify_all()
            yield item
