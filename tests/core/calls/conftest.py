"""What the tests of observers share: one that keeps what it is told, and a call that it watches."""

from __future__ import annotations

import pytest
from core.calls.observers import Later, Told

from nupic_client._core.calls.observing import Observing
from nupic_client._core.calls.watch import watching


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def watch(told):
    return watching((Observing(told, lambda: 109.0, Later),), "infer")
