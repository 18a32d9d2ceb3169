"""Canaries: one test for each private name, or undocumented habit, of another package that ours relies on.

When such a package renames one, the library mostly goes on working and only costs more, so that no other test may notice.
A canary does for real what we do, and fails with one sentence: what has changed, where we use it, what users lose.
"""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["canary"]


@contextlib.contextmanager
def canary(package: str, what: str, where: ModuleType, cost: str) -> Iterator[None]:
    """Fail with one sentence if the block does.

    Args:
        package: the distribution that has the private name.
        what: the name, or the habit.
        where: our module that relies on it.
        cost: what users lose without it.
    """
    try:
        yield
        return
    except (Exception, pytest.fail.Exception) as error:
        found = f"{type(error).__name__}: {error}"
    pytest.fail(
        f"{package} {_version(package)} has changed {what}, on which {where.__name__} relies: {cost} ({found})",
        pytrace=False,
    )


def _version(package: str) -> str:
    return platform.python_version() if package == "Python" else version(package)
