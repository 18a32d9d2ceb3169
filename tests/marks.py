"""What marks the tests by one rule: see `tests/README.md`.

``slow`` is also written beside single tests, where nothing but the clock tells.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SLOW_FOLDERS", "TRITON_FIXTURES", "mark"]

_TESTS = Path(__file__).parent

TRITON_FIXTURES = frozenset({"needs_triton", "real_triton", "serve_real"})
"""Who asks for one of them starts the real Triton."""

SLOW_FOLDERS = frozenset({"defects", "faults", "fuzz", "soak"})
"""What breaks things, looks for leaks or tries many inputs takes its time."""

# On the platform of CI the engine has a wheel: a test that is skipped there would look green.
_NO_ENGINE = importlib.util.find_spec("xllamacpp") is None and (
    (sys.platform, platform.machine()) != ("linux", "x86_64")
)


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark ``triton`` by the fixtures, and ``slow`` by what is started and by the folder."""
    for item in items:
        if TRITON_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("triton")
        model = item.get_closest_marker("model") is not None
        if model:
            item.add_marker(
                pytest.mark.skipif(_NO_ENGINE, reason="the engine has no wheel for this platform")
            )
        heavy = model or item.get_closest_marker("triton") is not None
        if heavy or SLOW_FOLDERS & {*item.path.relative_to(_TESTS).parts}:
            item.add_marker("slow")
