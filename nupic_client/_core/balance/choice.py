"""The choice among several servers: the least busy, the least recent, the home of a session, the least bad."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from hashlib import blake2b

from nupic_client._core.balance.servers import PooledServer

__all__ = ["home", "least_bad", "least_busy", "least_recent"]

_BOUND = 1.25
"""The load up to which a server gets the requests of its sessions, as a multiple of the mean."""


def least_busy(servers: Sequence[PooledServer], draw: float) -> PooledServer:
    """Return the server with the fewest running requests, one of them at random.

    Args:
        servers: at least one.
        draw: a random number, 0 <= draw < 1.
    """
    fewest = min(server.running for server in servers)
    return _one([server for server in servers if server.running == fewest], draw)


def least_recent(servers: Sequence[PooledServer], draw: float) -> PooledServer:
    """Return the server that was chosen the longest ago: round robin, also where servers come and go.

    Those that were never chosen come in random order: the first requests of many clients do not meet at one server.

    Args:
        servers: at least one.
        draw: a random number, 0 <= draw < 1.
    """
    oldest = min(server.turn for server in servers)
    return _one([server for server in servers if server.turn == oldest], draw)


def home(
    session: str, servers: Sequence[PooledServer], well: Sequence[PooledServer], draw: float
) -> PooledServer:
    """Return the server of a session: by rendezvous hashing, with bounded load.

    Each server has a score for the session, and the highest one that has room wins. So a server that dies moves only its own
    sessions, each to its second choice, and gets them back later. A server has room while it runs less than 1.25 times the
    mean, so that a session that everybody uses cannot drown it.

    Args:
        session: of the request.
        servers: to choose from; at least one.
        well: these, and those that are full or were tried: they count for the mean.
        draw: a random number, 0 <= draw < 1.
    """
    bound = math.ceil(_BOUND * (sum(server.running for server in well) + 1) / len(well))
    room = [server for server in servers if server.running < bound]
    if not room:
        return least_busy(servers, draw)
    return max(room, key=lambda server: _score(session, server.address))


def least_bad(
    servers: Sequence[PooledServer], model: str, tried: Collection[str], now: float
) -> PooledServer | None:
    """Return the server to try where none is well, or None for none: the one that is due next.

    Args:
        servers: to choose from.
        model: the server's name of the model.
        tried: the addresses where the request failed already.
        now: clock reading.
    """
    return min(
        servers,
        key=lambda it: (it.address in tried, it.draining, max(it.due(model), now), it.running, it.turn),
        default=None,
    )


def _score(session: str, address: str) -> bytes:
    """Return the score of a server for a session: the same in all processes, whatever other servers there are."""
    return blake2b(f"{session}\0{address}".encode(errors="surrogatepass"), digest_size=8).digest()


def _one(servers: Sequence[PooledServer], draw: float) -> PooledServer:
    return servers[min(int(draw * len(servers)), len(servers) - 1)]
