"""The health of a server or model: quarantine, its growing time, probes, the way back."""

from __future__ import annotations

import math

import pytest

from nupic_client._core.balance.health import LONGEST_CERTAIN, Health


def struck(draw=0.5, *, wanted=True):
    health = Health()
    health.strike(100.0, draw)
    health.wanted = wanted
    return health


def times(count, longest=None):
    health, found = Health(), []
    for _ in range(count):
        health.strike(100.0, 1.0, *([longest] if longest else []))
        found.append(round(health.due - 100.0, 3))
    return found


def test_the_quarantine_grows_to_ten_seconds():
    assert times(10) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    assert times(5000)[-1] == 10.0


def test_after_a_certain_failure_it_grows_to_a_minute():
    assert times(13, LONGEST_CERTAIN)[-4:] == [51.2, 60.0, 60.0, 60.0]


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.999])
def test_its_jitter_is_full(draw):
    assert struck(draw).due == pytest.approx(100.0 + 0.1 * draw)


def test_a_probe_is_made_once_when_the_time_is_over():
    health = struck()
    assert (health.probe_at, health.ask(100.04)) == (100.05, False)
    assert health.ask(100.05)
    assert not health.ask(100.06)


def test_nobody_asks_for_what_nobody_wants():
    health = struck(wanted=False)
    assert health.probe_at == math.inf
    assert not health.ask(200.0)
    health.wanted = True
    assert health.ask(200.0)
    health.strike(200.0, 0.5)
    assert not health.ask(300.0), "wanted only before the last probe"


def test_a_probe_without_an_answer_is_made_again_after_a_minute():
    health = struck()
    assert health.ask(101.0)
    assert not health.ask(160.9)
    assert health.ask(161.0)


def test_a_probe_ends_the_quarantine_but_does_not_forget():
    health = struck()
    health.lift(trial=False)
    assert health.well
    health.strike(100.0, 1.0)
    assert health.due == pytest.approx(100.2)


def test_on_trial_it_is_not_well_before_an_answer():
    health = struck()
    health.lift(trial=True)
    assert (health.due, health.well, health.remaining(0.0)) == (None, False, 0.0)
    health.restore()
    assert health.well


def test_an_answer_forgets():
    health = struck()
    health.restore()
    assert health.well
    health.strike(100.0, 1.0)
    assert health.due == pytest.approx(100.1)


def test_the_rest_of_the_quarantine():
    health = struck()
    assert [round(health.remaining(now), 3) for now in (100.0, 100.03, 100.05, 900.0)] == [
        0.05,
        0.02,
        0.0,
        0.0,
    ]
