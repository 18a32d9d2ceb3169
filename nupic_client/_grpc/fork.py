"""What becomes of connections and streams when the process forks.

Measured with grpcio 1.85: in the child a fresh channel works, also when the parent is in mid-stream. An inherited channel
shares its socket with the parent, so the child must never speak on it, nor close it, nor let a destructor do either.
``grpc.aio`` cannot be used in a child whose parent used it: its calls hang, and now and then the process crashes.
"""

from __future__ import annotations

import ctypes
import os
from typing import Protocol
from weakref import WeakSet

from nupic_client.errors import ConfigurationError

__all__ = ["check_process", "leak_in_child", "note_aio", "track"]


class Inherited(Protocol):
    """A thing that has to let go of the parent's things in a forked child."""

    def _after_fork(self) -> None:
        """Let go of them. Called in the child, where no other thread runs."""
        ...


class _Process:
    aio_used = False
    aio_broken = False


_living: WeakSet[Inherited] = WeakSet()


def track(item: Inherited) -> None:
    """Let go of the parent's things by ``item._after_fork()`` in every child that is forked from now on."""
    _living.add(item)


def leak_in_child(*things: object) -> None:
    """Keep things of the parent for ever: no destructor may run, not even when the interpreter ends."""
    for thing in things:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def note_aio() -> None:
    """Note that this process uses ``grpc.aio`` from now on."""
    _Process.aio_used = True


def check_process() -> None:
    """Raise ConfigurationError if gRPC cannot work in this process."""
    if _Process.aio_broken:
        raise ConfigurationError(
            "this process was forked from one that had made async calls, and gRPC's asyncio support does not survive"
            " that: start processes with the 'spawn' or 'forkserver' method, or fork before the first async call"
        )


def _after_fork() -> None:
    _Process.aio_broken = _Process.aio_used
    for item in list(_living):
        item._after_fork()  # noqa: SLF001 - no method for users


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
