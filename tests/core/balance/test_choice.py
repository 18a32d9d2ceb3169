"""The choice among several servers: the least busy, the least recent, the home of a session, the least bad."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.balance.choice import home, least_bad, least_busy, least_recent
from nupic_client._core.balance.servers import PooledServer

SESSIONS = [f"session {number}" for number in range(2_000)]


def servers_of(*running):
    servers = [PooledServer(f"10.0.0.{number}:8001") for number in range(len(running))]
    for server, count in zip(servers, running, strict=True):
        server.running = count
    return servers


def homes(servers, sessions=SESSIONS):
    return {session: home(session, servers, servers, 0.5).address for session in sessions}


def test_the_fewest_running():
    assert least_busy(servers_of(3, 1, 2), 0.9).address == "10.0.0.1:8001"


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999, math.nextafter(1.0, 0.0)])
def test_a_draw_takes_one_of_the_ties(draw):
    servers = servers_of(1, 0, 0, 2, 0)
    assert least_busy(servers, draw).running == 0


def test_ties_are_fair():
    servers = servers_of(0, 0, 0, 0)
    shares = Counter(least_busy(servers, number / 1000).address for number in range(1000))
    assert set(shares.values()) == {250}


def test_the_least_recent():
    servers = servers_of(0, 0, 0)
    for server, turn in zip(servers, (5, 3, 4), strict=True):
        server.turn = turn
    assert least_recent(servers, 0.9).address == "10.0.0.1:8001"


def test_the_first_of_a_round_is_drawn():
    assert {least_recent(servers_of(0, 0, 0), draw).address for draw in (0.1, 0.5, 0.9)} == {
        f"10.0.0.{number}:8001" for number in range(3)
    }


def test_sessions_are_spread_evenly():
    shares = Counter(homes(servers_of(0, 0, 0, 0)).values())
    assert all(400 < share < 600 for share in shares.values()), shares


def test_a_server_that_dies_moves_its_own_sessions_only_and_gets_them_back():
    servers = servers_of(0, 0, 0, 0, 0)
    before = homes(servers)
    dead, *rest = servers
    during = homes(rest)
    kept = [session for session in SESSIONS if before[session] != dead.address]
    assert all(during[session] == before[session] for session in kept)
    moved = Counter(during[session] for session in SESSIONS if before[session] == dead.address)
    assert min(moved.values()) > 0.5 * sum(moved.values()) / len(rest), "they are spread over the others"
    assert homes(servers) == before


def test_the_order_of_the_servers_does_not_matter():
    servers = servers_of(0, 0, 0, 0)
    assert homes(servers) == homes(servers[::-1])


def test_it_is_the_same_in_every_process():
    servers = servers_of(0, 0, 0)
    code = (
        "from nupic_client._core.balance.choice import home\n"
        "from nupic_client._core.balance.servers import PooledServer\n"
        "servers = [PooledServer(f'10.0.0.{number}:8001') for number in range(3)]\n"
        "print([home(f'session {number}', servers, servers, 0.5).address for number in range(20)])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(list(homes(servers, SESSIONS[:20]).values()))


def test_a_session_of_any_text():
    servers = servers_of(0, 0)
    for session in ("", "\0", "\ud800", "ü" * 100_000):
        assert home(session, servers, servers, 0.5) in servers


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.text(max_size=5))
def test_the_load_of_a_home_is_bounded(running, session):
    servers = servers_of(*running)
    chosen = home(session, servers, servers, 0.5)
    assert chosen.running + 1 <= math.ceil(1.25 * (sum(running) + 1) / len(running))


def test_a_session_that_everybody_uses_does_not_drown_its_server():
    servers = servers_of(0, 0, 0, 0)
    for _ in range(400):
        home("everybody's", servers, servers, 0.5).running += 1
    assert max(server.running for server in servers) <= 126
    assert min(server.running for server in servers) > 0


def test_where_all_that_may_be_chosen_are_over_the_bound_the_least_busy_is_home():
    servers = servers_of(9, 8, 0, 0)
    assert home("session", servers[:2], servers, 0.5) is servers[1]


def out(*dues):
    servers = servers_of(*[0] * len(dues))
    for server, due in zip(servers, dues, strict=True):
        server.health.due = due
    return servers


def test_the_one_that_is_due_next():
    servers = out(105.0, 103.0, 104.0)
    assert least_bad(servers, "llm", (), 100.0) is servers[1]


def test_among_those_that_are_due_the_least_busy():
    servers = out(91.0, 92.0, 105.0)
    servers[0].running = 1
    assert least_bad(servers, "llm", (), 100.0) is servers[1]


def test_a_model_may_be_due_later_than_its_server():
    servers = out(101.0, 102.0)
    servers[0].model("llm").health.due = 109.0
    assert least_bad(servers, "llm", (), 100.0) is servers[1]
    assert least_bad(servers, "another", (), 100.0) is servers[0]


def test_those_that_were_tried_and_those_that_drain_come_last():
    servers = out(101.0, 102.0, 103.0)
    assert least_bad(servers, "llm", {servers[0].address}, 100.0) is servers[1]
    servers[0].draining = True
    assert least_bad(servers, "llm", (), 100.0) is servers[1]


def test_no_server_at_all():
    assert least_bad([], "llm", (), 100.0) is None
