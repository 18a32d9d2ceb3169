"""The place of one attempt on one of several servers, from the choice to its end."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from nupic_client._core.calls.placement import Affinity, Pin
from nupic_client.errors import RequestError

if TYPE_CHECKING:
    from nupic_client._core.balance.servers import Lease
    from nupic_client._grpc.server_pool import ServerPool

__all__ = ["Loss", "Place"]


class Place:
    """The place of one attempt on a server, or in the queue for one. Thread-safe. See `Placement`.

    Args:
        pool: that it is of.
        affinity: the session that the request belongs to.
    """

    __slots__ = (
        "__weakref__",
        "_failed",
        "_pool",
        "_taken",
        "address",
        "affinity",
        "lease",
        "left",
        "start",
        "wake",
    )

    def __init__(self, pool: ServerPool, affinity: Affinity) -> None:
        self.lease: Lease | None = None
        """None while the request waits."""
        self.address = ""
        """Of the server; empty while the request waits."""
        self.affinity = affinity
        self.start = time.monotonic()
        self.left = False
        """Whether the caller waits no more. Set from anywhere."""
        self.wake: Callable[[], object] = _nothing
        """Called, by any thread, when something happened that the request waits for. Set by those who wait."""
        self._pool = pool
        self._failed = False
        self._taken = self.start

    @property
    def session(self) -> str | None:
        """The session that the request should stay with, if there is one."""
        return None if isinstance(self.affinity, Pin) else self.affinity

    @property
    def only(self) -> str:
        """The address of the one server that may take it, if there is one."""
        return self.affinity.address if isinstance(self.affinity, Pin) else ""

    def take(self, lease: Lease) -> None:
        """Take a place on a server."""
        self.lease = lease
        self._taken = time.monotonic()
        self.address = lease.address
        if isinstance(self.affinity, Pin):
            self.affinity.address = lease.address

    def leave(self) -> None:
        """End the wait soon. Takes no lock, for destructors."""
        self.left = True
        self.wake()

    def failed(self, error: RequestError, tried: Collection[str]) -> RequestError:
        """Note that the attempt failed, once; return the error, which says whether to try elsewhere."""
        if self.lease is None or self._failed:
            return error
        self._failed = True
        pinned = isinstance(self.affinity, Pin)
        return self._pool.failed(self.lease, error, [*tried, self.address], pinned=pinned)

    def answered(self, first_response: float | None = None) -> None:
        """Note that the server answers: with its first response, and again at the end."""
        if self.lease is not None and not self._failed:
            seconds = None if first_response is None else max(first_response - self._taken, 0.0)
            self._pool.answered(self.lease, seconds)

    def release(self) -> None:
        """Give the place back, or leave the queue. Idempotent."""
        self._pool.release(self)

    def drop(self, *, answered: bool, first_response: float | None = None) -> None:
        """Give the place back soon. Takes no lock, for destructors."""
        self._pool.drop(self, answered=answered, first_response=first_response)


class Loss(weakref.ref[Place]):
    """Notices that a place was lost, with the request that had it: by Ctrl-C between two lines.

    Not a destructor of the place, which would run for each request, and Ctrl-C in a destructor has no effect.
    """

    __slots__ = ("lease",)

    lease: Lease


def _nothing() -> None:
    """Wake nobody."""
