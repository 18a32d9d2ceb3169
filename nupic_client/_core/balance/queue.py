"""The queue of requests for which no server has room: first come, first served. Nothing here waits."""

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


class _Need(NamedTuple):
    """What decides whether there is room; all else of a request is a wish."""

    model: str
    only: str


class RequestQueue(Generic[WaiterT]):
    """Requests that wait for room on a server of a pool. The caller holds the pool's lock around each method.

    Here a request can still go to any server, which it cannot once it waits on one. Room comes with `Pool.release`, and
    where other servers may be picked: with `Pool.succeeded`, `Pool.failed`, `Pool.probed` and `Pool.set_addresses`. Before
    the caller lets go of the lock, it takes from `grant` until nothing more comes. So no later request is faster, and
    ``choose`` needs no look at the queue.

    The oldest request for which there is room is served, whatever its session: by its session's server if that has room,
    else by the next one. To prefer requests whose own server is free would keep more caches warm, but others would starve.
    The cost of a grant grows with the number of models that wait, not with that of requests.
    """

    def __init__(self) -> None:
        # A plain dict is slow here: it looks at all entries that were removed before its first one.
        self._lines: dict[_Need, OrderedDict[WaiterT, _Wish]] = {}
        self._where: OrderedDict[WaiterT, _Need] = OrderedDict()
        self._tickets = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, waiter: object) -> bool:
        return waiter in self._where

    @property
    def first(self) -> WaiterT | None:
        """The request that waits the longest, or None."""
        return next(iter(self._where), None)

    def add(
        self,
        waiter: WaiterT,
        model: str,
        *,
        session: str | None = None,
        tried: Collection[str] = (),
        only: str = "",
    ) -> None:
        """Put a request at the end.

        Args:
            waiter: stands for the request; each one is in the queue once.
            model: as for `Pool.choose`, also the others.
            session: of the request.
            tried: the addresses where it failed already.
            only: the address of the one server that may take it.

        Raises:
            ValueError: the waiter is in the queue already.
        """
        if waiter in self._where:
            raise ValueError("a waiter is in the queue once")
        self._tickets += 1
        self._where[waiter] = need = _Need(model, only)
        self._lines.setdefault(need, OrderedDict())[waiter] = _Wish(self._tickets, session, tried)

    def remove(self, waiter: WaiterT) -> bool:
        """Take out a request that waits no more; return whether it was there, or has been granted before."""
        need = self._where.pop(waiter, None)
        if need is None:
            return False
        line = self._lines[need]
        del line[waiter]
        if not line:
            del self._lines[need]
        return True

    def clear(self) -> list[WaiterT]:
        """Take all out and return them."""
        waiters = list(self._where)
        self._where.clear()
        self._lines.clear()
        return waiters

    def grant(self, pool: Pool, now: float, draw: float) -> tuple[WaiterT, Lease] | None:
        """Return the request whose turn it is, with its place, or None where nobody gets one.

        Args:
            pool: that chooses.
            now: clock reading.
            draw: a random number, 0 <= draw < 1.
        """
        heads = [(next(iter(line.items())), need) for need, line in self._lines.items()]
        for (waiter, wish), need in sorted(heads, key=lambda head: head[0][1].ticket):
            lease = pool.choose(
                need.model, session=wish.session, tried=wish.tried, only=need.only, now=now, draw=draw
            )
            if lease is not None:
                self.remove(waiter)
                return waiter, lease
        return None
