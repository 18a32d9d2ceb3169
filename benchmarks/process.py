"""What a process knows about itself: memory and threads."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from typing_extensions import Self

STATUS = Path("/proc/self/status")


def _status(field: str) -> int:
    """Return a number of Linux's account of this process."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    if STATUS.exists():
        return _status("VmRSS") / 1024
    import psutil

    return float(psutil.Process().memory_info().rss / 2**20)


def peak() -> float:
    """Return the largest resident memory of this process so far, in MiB.

    Not getrusage's: on Linux that begins with what the parent had when it started this process.
    """
    if STATUS.exists():
        return _status("VmHWM") / 1024
    import psutil

    memory = psutil.Process().memory_info()
    return float(getattr(memory, "peak_wset", memory.rss) / 2**20)


def os_threads() -> int:
    """Return how many threads this process has, those of gRPC's C core included."""
    if STATUS.exists():
        return _status("Threads")
    import psutil

    return int(psutil.Process().num_threads())


class Watch(threading.Thread):
    """Note the largest memory and the most threads of this process while it runs, 50 times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self._lock = threading.Lock()  # so that no note from before `restart` is written after it
        self.restart()

    def restart(self) -> None:
        """Forget what was noted, and take the memory of this moment for what was there before."""
        with self._lock:
            self.before = self.memory = resident()
            self.threads = 0

    @property
    def growth(self) -> float:
        """The largest memory less what was there before, in MiB."""
        return self.memory - self.before

    def run(self) -> None:
        while True:
            with self._lock:
                self.memory = max(self.memory, resident())
                self.threads = max(self.threads, os_threads() - 1)  # without this one
            if self._ended.wait(0.02):
                return

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.join()


def switches() -> int:
    """Return how often a thread of this process gave up the processor to wait; 0 on Windows, which does not count it."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
