"""The choice among several servers: the least busy, the least recent, the home of a session, the least bad."""

from __future__ import annotations

from nupic_client._core.balance.choice import least_busy
from nupic_client._core.balance.servers import PooledServer


def test_ties_are_drawn():
    servers = [PooledServer(address) for address in "abcd"]
    assert [least_busy(servers, draw).address for draw in (0.0, 0.3, 0.6, 0.99)] == ["a", "b", "c", "d"]
