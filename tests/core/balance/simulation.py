"""Clients, servers and their queues in virtual time: how long requests wait for a slot of a server."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from typing import Any

from nupic_client._core.balance.pool import Pool
from nupic_client._core.balance.queue import RequestQueue

MEAN, SIGMA = 5.0, 1.2
"""Of the lognormal times that the servers need, in seconds."""


class Requests:
    """The same requests for each way to balance: when they come, from whom, and how long they take.

    Args:
        count: how many.
        seed: of the random numbers.
        rate: requests a second.
        clients: how many there are.
        sessions: how many there are.
    """

    def __init__(self, count: int, seed: int, rate: float, clients: int = 1, sessions: int = 100) -> None:
        rng = random.Random(seed)
        mu = math.log(MEAN) - SIGMA**2 / 2
        now = 0.0
        self.rows = []
        for _ in range(count):
            now += rng.expovariate(rate)
            session = f"session {min(int(sessions * rng.random() ** 2), sessions - 1)}"  # some are busier
            self.rows.append(
                (now, rng.randrange(clients), session, rng.lognormvariate(mu, SIGMA), rng.random())
            )


def waits(
    balancing: str,
    *,
    count: int,
    seed: int,
    clients: int = 1,
    slots: int = 8,
    load: float = 0.85,
    speeds: Sequence[float] = (1, 1, 1, 1),
    max_outstanding: int | None = None,
) -> list[float]:
    """Return the seconds that each request waited for a slot, in the order in which they began.

    Args:
        balancing: of the pools.
        count: of requests.
        seed: of the random numbers.
        clients: each has a pool of its own and sees only its own requests.
        slots: requests that a server works on at a time; the others wait on it.
        load: the share of all slots that is used on average.
        speeds: of the servers.
        max_outstanding: of the pools.
    """
    rate = load * slots * sum(speeds) / MEAN
    requests = Requests(count, seed, rate, clients).rows
    return _World(balancing, clients, slots, speeds, max_outstanding).run(requests)


class _World:
    """The clients, the servers and their queues."""

    def __init__(
        self, balancing: Any, clients: int, slots: int, speeds: Sequence[float], limit: int | None
    ) -> None:
        names = [f"server-{number}" for number in range(len(speeds))]
        self.speed = dict(zip(names, speeds, strict=True))
        self.free = dict.fromkeys(names, slots)
        self.queues: dict[str, deque[Any]] = {name: deque() for name in names}
        self.pools = [Pool(balancing=balancing, max_outstanding=limit) for _ in range(clients)]
        for pool in self.pools:
            pool.set_addresses(names)
        self.lines: list[RequestQueue[Any]] = [RequestQueue() for _ in range(clients)]
        self.ends: list[Any] = []
        self.waits: list[float] = []

    def run(self, requests: Sequence[Any]) -> list[float]:
        for number, (now, client, session, length, draw) in enumerate(requests):
            while self.ends and self.ends[0][0] <= now:
                self.end()
            lease = self.pools[client].choose("llm", session=session, now=now, draw=draw)
            if lease is None:
                self.lines[client].add((now, number, length), "llm", session=session)
            else:
                self.send(now, now, client, length, lease)
        while self.ends:
            self.end()
        assert len(self.waits) == len(requests)
        assert all(view.running == 0 for pool in self.pools for view in pool.endpoints(now))
        return self.waits

    def send(self, now: float, came: float, client: int, length: float, lease: Any) -> None:
        if self.free[lease.address]:
            self.free[lease.address] -= 1
            self.begin(now, came, client, length, lease)
        else:
            self.queues[lease.address].append((came, client, length, lease))

    def begin(self, now: float, came: float, client: int, length: float, lease: Any) -> None:
        self.waits.append(now - came)
        heapq.heappush(self.ends, (now + length / self.speed[lease.address], len(self.waits), client, lease))

    def end(self) -> None:
        now, number, client, lease = heapq.heappop(self.ends)
        if self.queues[lease.address]:
            self.begin(now, *self.queues[lease.address].popleft())
        else:
            self.free[lease.address] += 1
        pool, line = self.pools[client], self.lines[client]
        pool.succeeded(lease, now)
        pool.release(lease)
        while line and (granted := line.grant(pool, now, (number * 0.618) % 1)):
            (came, _, length), place = granted
            self.send(now, came, client, length, place)


def p99(values: Sequence[float]) -> float:
    """Return the value that one of a hundred exceeds."""
    return sorted(values)[int(len(values) * 0.99)]
