"""The pytest fixture `fake_triton`; opt in with ``pytest_plugins = ("nupic_client.testing.fixtures",)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nupic_client.testing.fake_triton import FakeTriton

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fake_triton"]


@pytest.fixture
def fake_triton() -> Iterator[FakeTriton]:
    """Return a running `FakeTriton`, stopped after the test; set its ``reply`` for the answers."""
    with FakeTriton() as server:
        yield server
