"""The queue of requests for which no server has room: first come, first served, for each model. Nothing here waits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable
from typing import Generic, NamedTuple, TypeVar

from nupic_client._core.balance.pool import Pool
from nupic_client._core.balance.servers import Lease

__all__ = ["RequestQueue"]

WaiterT = TypeVar("WaiterT", bound=Hashable)


class _Wish(NamedTuple):
    ticket: int
    session: str | None
    tried: Collection[str]


class RequestQueue(Generic[WaiterT]):
    """Requests that wait for room on a server of a pool. The caller holds the pool's lock around each method.

    Here a request can still go to any server, which it cannot once it waits on one. Room comes with `Pool.release`, and
    where other servers may be picked: with `Pool.succeeded`, `Pool.failed`, `Pool.probed` and `Pool.set_addresses`. Before
    the caller lets go of the lock, it takes from `grant` until nothing more comes. So no later request is faster, and
    ``choose`` needs no look at the queue.

    The oldest request whose model has room is served, whatever its session: its session's server if that has room, else the
    next one. To serve those first that wait for just this server would keep more caches warm, and let others wait for ever.
    """

    def __init__(self) -> None:
        # A plain dict is slow here: it looks at all entries that were removed before its first one.
        self._models: dict[str, OrderedDict[WaiterT, _Wish]] = {}
        self._where: dict[WaiterT, str] = {}
        self._tickets = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, waiter: object) -> bool:
        return waiter in self._where

    def add(
        self, waiter: WaiterT, model: str, *, session: str | None = None, tried: Collection[str] = ()
    ) -> None:
        """Put a request at the end.

        Args:
            waiter: stands for the request; each one is in the queue once.
            model: as for `Pool.choose`, also the others.
            session: of the request.
            tried: the addresses where it failed already.

        Raises:
            ValueError: the waiter is in the queue already.
        """
        if waiter in self._where:
            raise ValueError("a waiter is in the queue once")
        self._tickets += 1
        self._where[waiter] = model
        self._models.setdefault(model, OrderedDict())[waiter] = _Wish(self._tickets, session, tried)

    def remove(self, waiter: WaiterT) -> bool:
        """Take out a request that waits no more; return whether it was there, or has been granted before."""
        model = self._where.pop(waiter, None)
        if model is None:
            return False
        line = self._models[model]
        del line[waiter]
        if not line:
            del self._models[model]
        return True

    def grant(self, pool: Pool, now: float, draw: float) -> tuple[WaiterT, Lease] | None:
        """Return the request whose turn it is, with its place, or None where nobody gets one.

        Args:
            pool: that chooses.
            now: clock reading.
            draw: a random number, 0 <= draw < 1.
        """
        # Whether there is room depends on the model only: a session and the servers that were tried are wishes.
        heads = [(next(iter(line.items())), model) for model, line in self._models.items()]
        for (waiter, wish), model in sorted(heads, key=lambda head: head[0][1].ticket):
            lease = pool.choose(model, session=wish.session, tried=wish.tried, now=now, draw=draw)
            if lease is not None:
                self.remove(waiter)
                return waiter, lease
        return None
