"""Connections and streams in a forked child.

Measured with grpcio 1.85: a fresh channel works in the child, also while the parent reads a stream. An inherited channel has
the parent's socket, so the child must never write to it or close it, and neither must a destructor.
``grpc.aio`` cannot be used in a child whose parent used it: its calls hang, and now and then the process crashes.
"""

from __future__ import annotations

import ctypes
import os
from typing import Protocol
from weakref import WeakSet

from nupic_client.errors import ConfigurationError

__all__ = ["check_process", "leak", "note_aio", "track"]


class Inherited(Protocol):
    """An object that must drop the parent's resources in a forked child."""

    def _after_fork(self) -> None:
        """Drop the parent's resources. Called in the child, where no other thread runs."""
        ...


class _Process:
    aio_used = False
    aio_broken = False


_living: WeakSet[Inherited] = WeakSet()


def track(item: Inherited) -> None:
    """Call ``item._after_fork()`` in every child that is forked from now on."""
    _living.add(item)


def leak(*objects: object) -> None:
    """Leak objects on purpose, such as the parent's: their destructors must not run, not even when the interpreter ends."""
    for each in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


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
