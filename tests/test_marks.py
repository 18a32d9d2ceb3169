"""Tests are marked by what they start, so that the fast loop starts neither the real Triton nor the model."""

from __future__ import annotations

import pytest
from marks import TRITON_FIXTURES


def test_what_starts_the_real_triton_says_so(request: pytest.FixtureRequest):
    for item in request.session.items:
        if TRITON_FIXTURES & set(getattr(item, "fixturenames", ())) or "[real-" in item.nodeid:
            assert item.get_closest_marker("triton"), item.nodeid


def test_what_starts_anything_heavy_is_slow(request: pytest.FixtureRequest):
    for item in request.session.items:
        if item.get_closest_marker("triton") or item.get_closest_marker("model"):
            assert item.get_closest_marker("slow"), item.nodeid
