"""Memory that other processes of this machine can map by a name: a file of Linux's ``/dev/shm``, as ``shm_open`` makes them.

Python's own `multiprocessing.shared_memory` starts a process that watches over such memory, which complains in forked
programs and takes memory away that others still use. Here a file goes when its owner closes it, or is collected, or ends.
That of a process that was killed goes when the next one is made: its owner holds a lock on it that ends with the process.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from pathlib import Path

from nupic_client.errors import ConfigurationError

__all__ = ["MemoryFile"]

_FOLDER = Path("/dev/shm")  # noqa: S108 - no temporary file: it is the system's place for memory
_PREFIX = "nupic-memory-"


class MemoryFile:
    """Shared memory of this process.

    Args:
        byte_size: its size.

    Raises:
        ConfigurationError: the system has no such memory, or not so much.
    """

    __slots__ = ("_path", "_pid", "key", "memory")

    def __init__(self, byte_size: int) -> None:
        if sys.platform != "linux":
            raise ConfigurationError(
                f"shared memory must be on the server's machine, which Linux runs, not {sys.platform}: send the arrays"
                " themselves"
            )
        _remove_left_ones()
        self._pid = os.getpid()
        name = f"{_PREFIX}{self._pid}-{os.urandom(8).hex()}"
        self._path = _FOLDER / name
        self.key = f"/{name}"
        """Its name for ``shm_open``."""
        try:
            self.memory = _mapped(self._path, byte_size)
            """The memory; views of it keep it alive."""
        except BaseException:  # Ctrl-C included
            self.unlink()
            raise

    def unlink(self) -> None:
        """Take the name away; the memory lives on where it is mapped. Idempotent; takes no lock, for destructors.

        Does nothing in a forked child: the name is its parent's.
        """
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _mapped(path: Path, byte_size: int) -> mmap.mmap:
    import fcntl  # noqa: PLC0415 - Windows has none

    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
        try:
            # The map keeps a copy of the descriptor, and so the lock.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            # Without this a process that writes to memory that does not exist is killed (SIGBUS).
            os.posix_fallocate(descriptor, 0, byte_size)
            return mmap.mmap(descriptor, byte_size)
        finally:
            os.close(descriptor)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"byte_size must be as much as {_FOLDER} has left ({_left()} bytes), not {byte_size}: {reason}; a container"
            " gets more with --shm-size",
            parameter="byte_size",
        ) from None


def _left() -> int:
    try:
        found = os.statvfs(_FOLDER)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _remove_left_ones() -> None:
    """Remove the files of processes that were killed: nobody has a lock on them."""
    import fcntl  # noqa: PLC0415 - Windows has none

    with contextlib.suppress(OSError):
        for path in [Path(entry) for entry in os.scandir(_FOLDER) if entry.name.startswith(_PREFIX)]:
            with contextlib.suppress(OSError):  # it is in use, or another user's, or gone
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.fstat(descriptor).st_size:  # one without a size is being made just now
                        path.unlink()
                finally:
                    os.close(descriptor)
