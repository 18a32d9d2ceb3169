"""What a client may leave behind when it is closed: nothing."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import weakref
    from collections.abc import Iterable

__all__ = ["Leaks"]

_PATIENCE = 20.0
_OTHERS = (
    "nupic_client.housekeeping",
    "nupic_client.local",
    "faults.",
    "process_request_thread",
    "_wait_for_end",
)
"""What is in the names of the threads that belong to no client: the one of the process, and those of servers and proxies."""


class Leaks:
    """Remember what there is; find out later what there is besides. Make it when the client does not exist yet."""

    def __init__(self) -> None:
        gc.collect()
        self._threads = set(threading.enumerate())
        self._files = _open_files()

    def check(self, ports: Iterable[int], objects: Iterable[weakref.ref[object]]) -> None:
        """Wait until nothing is left.

        Args:
            ports: where the client had connected to.
            objects: what must be gone.

        Raises:
            AssertionError: something is left; it says what.
        """
        left: list[str] = []
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            gc.collect()
            left = [*self._left(set(ports)), *(f"{ref()!r}" for ref in objects if ref() is not None)]
            if not left:
                return
            time.sleep(0.02)
        raise AssertionError(f"left behind: {left}")

    def _left(self, ports: set[int]) -> Iterable[str]:
        for thread in threading.enumerate():
            if thread not in self._threads and not any(name in thread.name for name in _OTHERS):
                yield f"thread {thread.name}"
        for connection in psutil.Process().net_connections("tcp"):
            if connection.raddr and connection.raddr.port in ports:
                yield f"socket {connection}"
        if (files := _open_files()) > self._files:
            yield f"{files - self._files} open files"


def _open_files() -> int:
    if sys.platform == "win32":  # handles are not only files there, and come and go
        return 0
    with contextlib.suppress(psutil.AccessDenied):
        return psutil.Process().num_fds()
    return 0
