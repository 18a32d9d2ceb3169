"""What the pool knows of a server: its state, its models, its time to the first token."""

from __future__ import annotations

from nupic_client._core.balance.servers import PooledServer


def test_the_time_to_the_first_token_is_a_moving_average():
    server = PooledServer("a")
    server.measured(1.0)
    server.measured(2.0)
    assert server.time_to_first_token == 1.3
