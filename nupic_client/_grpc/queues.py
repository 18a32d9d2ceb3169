"""Waiting at a queue for a time."""

from __future__ import annotations

import queue
from typing import TypeVar

__all__ = ["get_within"]

T = TypeVar("T")


def get_within(source: queue.SimpleQueue[T], timeout: float | None) -> T:
    """Return the next item of a queue; wait for it for some seconds at most, or without limit.

    `queue.SimpleQueue.get` alone may wait for ever (seen with CPython 3.10 to 3.13). Where nobody has waited at an empty
    queue before, it goes through its loop twice. If the time is over by then, a negative rest of it means no limit. After
    an attempt without waiting it goes through once.

    Args:
        source: the queue; only one thread waits at it.
        timeout: seconds, at least 0; None for no limit.

    Raises:
        queue.Empty: nothing came in time.
    """
    try:
        return source.get_nowait()
    except queue.Empty:
        if timeout == 0:
            raise
    return source.get(timeout=timeout)
