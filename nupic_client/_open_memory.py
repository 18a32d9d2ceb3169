"""The memory of an open region, and its end: by the caller, as garbage, or with the process."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import Protocol

from nupic_client._grpc import housekeeping
from nupic_client._memory_file import MemoryFile

__all__ = ["OpenMemory", "Registrar"]

_PATIENCE_AT_EXIT = 1.0
"""Seconds that the end of a process waits for the server."""


class Registrar(Protocol):
    """The calls to a server that a region makes."""

    def register(self, name: str, key: str, byte_size: int) -> None:
        """Register a region."""
        ...

    async def aregister(self, name: str, key: str, byte_size: int) -> None:
        """Register a region."""
        ...

    def forget(self, name: str, timeout: float | None = None) -> None:
        """Unregister a region; an error is logged."""
        ...

    async def aforget(self, name: str) -> None:
        """Unregister a region; an error is logged."""
        ...


class OpenMemory:
    """The memory of an open region, and its end, whatever comes first: `end`, garbage collection or the end of the process.

    Args:
        region: as garbage it takes the memory with it.
        server: its calls.
        name: its name.
        byte_size: its size.

    Raises:
        ConfigurationError: as `MemoryFile`.
    """

    def __init__(self, region: object, server: Registrar, name: str, byte_size: int) -> None:
        self.file = file = MemoryFile(byte_size)
        self._server = server
        self._name = name
        self._pid = os.getpid()
        self._registration = housekeeping.Registration()
        housekeeping.register(self._registration)
        self._finalizer = weakref.finalize(
            region, _abandon, file, server, name, self._registration, self._pid
        )
        self._finalizer.atexit = False
        _living.add(self)

    def end(self, *, registered: bool) -> bool:
        """Give the memory back; return whether it is this process's to unregister.

        Args:
            registered: whether that is to happen soon, in a thread; else it is left to the caller.
        """
        if self._finalizer.detach() is None:
            return False
        if registered:
            _abandon(self.file, self._server, self._name, self._registration, self._pid)
        else:
            self.file.unlink()
            housekeeping.unregister(self._registration)
        return self._pid == os.getpid()

    def end_with_process(self) -> None:
        """Give the memory back now, and wait only a moment for the server."""
        if self.end(registered=False):
            self._server.forget(self._name, _PATIENCE_AT_EXIT)


def _abandon(
    file: MemoryFile, server: Registrar, name: str, registration: housekeeping.Registration, pid: int
) -> None:
    """Give back memory that nobody refers to any more. A destructor may call this: it takes no lock."""
    file.unlink()
    if os.getpid() == pid:
        housekeeping.submit(_forget_in_thread, server, name)
    housekeeping.unregister(registration)


def _forget_in_thread(server: Registrar, name: str) -> None:
    # The housekeeping thread itself must not wait for a server: it watches over deadlines.
    threading.Thread(target=server.forget, args=(name,), name="nupic_client.forget", daemon=True).start()


_living: weakref.WeakSet[OpenMemory] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for opened in list(_living):
        opened.end_with_process()
