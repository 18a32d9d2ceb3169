"""What the process holds: memory, threads and files."""

from __future__ import annotations

import ctypes
import gc
import math
import sys
import threading
import time
from dataclasses import dataclass

import psutil

POOL = 4
"""gRPC's own threads and their files, whose number goes up and down."""


class _Malloc(ctypes.Structure):
    """What glibc's ``mallinfo2`` returns."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    )


def _allocated() -> float:
    """Return the megabytes that are in use in C's heap; NaN where the C library does not tell.

    The size of the process also has what the allocator keeps in reserve, which grows with the mess that traffic makes.
    """
    if sys.platform != "linux":
        return math.nan
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return math.nan
    ask.restype = _Malloc
    told = ask()
    return (told.uordblks + told.hblkhd) / 2**20


@dataclass(frozen=True)
class Level:
    """What the process holds while no call runs."""

    memory: float
    allocated: float
    blocks: int
    threads: int
    python_threads: int
    files: int

    @classmethod
    def now(cls) -> Level:
        gc.collect()
        process = psutil.Process()
        files = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
        memory = process.memory_info().rss / 2**20
        return cls(
            memory,
            _allocated(),
            sys.getallocatedblocks(),
            process.num_threads(),
            threading.active_count(),
            files,
        )


def settled(level: Level | None, patience: float = 30.0) -> Level:
    """Return what is held when no call runs; wait until it is back at the given level, if it ever is."""
    until = time.monotonic() + patience
    while True:
        now = Level.now()
        back = (
            level is not None
            and now.files <= level.files + POOL
            # gRPC's own threads leave when they had nothing to do for a while.
            and now.threads <= level.threads + POOL
            and now.python_threads <= level.python_threads
        )
        if back or time.monotonic() > until or (level is None and time.monotonic() > until - patience + 2.0):
            return now
        time.sleep(0.2)
