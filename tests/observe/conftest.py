"""What the tests of observers share."""

from __future__ import annotations

import pytest
from observe.recorder import Recorder

from nupic_client.testing import FakeTriton


@pytest.fixture
def seen():
    """What an observer is told."""
    return Recorder()


@pytest.fixture
def server():
    """A server whose answers are "Hello", in two pieces."""
    with FakeTriton(["Hel", "lo"]) as server:
        yield server
