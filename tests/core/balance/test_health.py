"""The health of a server or model: quarantine, its growing time, probes, the way back."""

from __future__ import annotations

from nupic_client._core.balance.health import Health


def test_the_quarantine_grows_to_ten_seconds():
    health = Health()
    times = []
    for _ in range(10):
        health.strike(100.0, 1.0)
        times.append(round(health.due - 100.0, 3))
    assert times == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
