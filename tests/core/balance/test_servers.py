"""What the pool knows of a server: its state, its models, its time to the first token; leases and probes."""

from __future__ import annotations

import pytest

from nupic_client._core.balance.servers import Lease, PooledServer, Probe


def test_the_time_to_the_first_token_is_a_moving_average():
    server = PooledServer("a")
    assert server.time_to_first_token is None
    server.measured(1.0)
    assert server.time_to_first_token == 1.0
    server.measured(2.0)
    assert server.time_to_first_token == pytest.approx(1.3)
    for _ in range(50):
        server.measured(4.0)
    assert server.time_to_first_token == pytest.approx(4.0)


def test_states():
    server = PooledServer("a")
    assert server.state == "unknown"
    server.answered = True
    assert server.state == "up"
    server.health.strike(0.0, 0.5)
    assert server.state == "quarantined"
    server.draining = True
    assert server.state == "draining"
    server.health.restore()
    server.draining = False
    server.leaving = True
    assert server.state == "draining"


def test_a_model_on_trial_gets_one_request_at_a_time():
    server = PooledServer("a")
    model = server.model("llm")
    model.health.strike(0.0, 0.5)
    assert not server.well("llm")
    assert server.well("another")
    model.health.lift(trial=True)
    assert server.well("llm")
    model.trial = Lease(server, "llm", 0.0)
    assert not server.well("llm")


def test_when_it_is_due():
    server = PooledServer("a")
    assert server.due("llm") == float("-inf")
    server.health.due = 0.0
    assert server.due("llm") == 0.0
    server.model("llm").health.due = 3.0
    assert server.due("llm") == 3.0


def test_names_that_nobody_uses_are_forgotten():
    server = PooledServer("a")
    kept = server.model("wanted")
    kept.health.strike(0.0, 0.5)
    kept.health.wanted = True
    for number in range(5_000):
        server.model(f"mistyped {number}")
    assert len(server.models) <= 1_001
    assert server.model("wanted") is kept


def test_a_view_shows_the_models_that_are_not_well():
    server = PooledServer("a")
    server.running = 3
    server.model("well")
    server.model("out").health.strike(10.0, 0.5)
    server.model("on trial").health.strike(10.0, 0.5)
    server.model("on trial").health.lift(trial=True)
    view = server.view(10.0)
    assert (view.address, view.state, view.running) == ("a", "unknown", 3)
    assert view.quarantined_models == {"out": pytest.approx(0.05), "on trial": 0.0}


def test_leases_and_probes_are_told_apart_by_identity():
    server = PooledServer("a")
    leases = {Lease(server, "llm", 0.0) for _ in range(3)}
    assert len(leases) == 3
    assert repr(leases.pop()) == "<Lease of a for 'llm'>"
    assert repr(Probe(server, "", server.health)) == "<Probe of a>"
    assert repr(Probe(server, "llm", server.health)) == "<Probe of a for 'llm'>"
