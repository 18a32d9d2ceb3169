"""Which integration the tests of a module need."""

from __future__ import annotations

import os

import pytest

__all__ = ["need"]


def need(integration: str) -> None:
    """Skip the module that calls this, but in the session of the integration."""
    if os.environ.get("NUPIC_INTEGRATION") != integration:
        pytest.skip(f"nox -s integrations has {integration}", allow_module_level=True)
