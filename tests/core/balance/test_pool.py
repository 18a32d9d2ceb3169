"""The pool of servers: choice, counts, quarantine, probes, addresses that come and go."""

from __future__ import annotations

from nupic_client._core.balance.pool import Pool
from nupic_client.errors import ConnectionFailedError

REFUSED = ConnectionFailedError("cannot reach the server", status="UNAVAILABLE", retryable=True)


def pool_of(*addresses, **options):
    pool = Pool(**options)
    pool.set_addresses(addresses)
    return pool


def test_the_least_busy_server_is_chosen():
    pool = pool_of("a", "b")
    first, second, third = (pool.choose("llm", now=0.0, draw=0.9) for _ in range(3))
    assert [first.address, second.address, third.address] == ["b", "a", "b"]


def test_a_server_that_refuses_is_out_until_its_probe():
    pool = pool_of("a", "b")
    lease = pool.choose("llm", now=0.0, draw=0.0)
    pool.failed(lease, REFUSED, 0.0, 0.5)
    pool.release(lease)
    assert pool.elsewhere("llm", REFUSED, {"a"}, 0.0)
    assert {pool.choose("llm", now=1.0, draw=0.0).address for _ in range(5)} == {"b"}
    (probe,) = pool.due_probes(1.0)
    pool.probed(probe, True, 1.0, 0.0)
    assert pool.choose("llm", now=1.0, draw=0.0).address == "a"


def test_there_is_room_until_all_servers_are_full():
    pool = pool_of("a", "b", max_outstanding=1)
    assert pool.has_room()
    leases = [pool.choose("llm", now=0.0, draw=0.0) for _ in range(2)]
    assert not pool.has_room()
    pool.release(leases[0])
    assert pool.has_room()


def test_a_probe_that_was_given_up_is_made_again():
    pool = pool_of("a", "b")
    lease = pool.choose("llm", now=0.0, draw=0.0)
    pool.failed(lease, REFUSED, 0.0, 0.5)
    pool.choose("llm", now=1.0, draw=0.0)
    (probe,) = pool.due_probes(1.0)
    assert pool.due_probes(1.0) == []
    pool.abandoned(probe)
    (again,) = pool.due_probes(1.0)
    pool.probed(again, True, 1.0, 0.0)
    pool.abandoned(again)  # too late, and without effect
    assert pool.due_probes(100.0) == []
