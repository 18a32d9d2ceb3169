"""Which session the tests of a folder need."""

from __future__ import annotations

import os

import pytest

__all__ = ["need"]


def need(recipe: str) -> None:
    """Skip the module that calls this, but in the session of the recipe."""
    if os.environ.get("NUPIC_INTEGRATION") != recipe:
        pytest.skip(f"nox -s recipes has {recipe}", allow_module_level=True)
