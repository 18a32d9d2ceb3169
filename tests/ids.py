"""Names of the cases of a test."""

from __future__ import annotations

import re

__all__ = ["without_address"]


def without_address(value: object) -> str:
    """Return a value as text, the same in each process: pytest-xdist compares what its workers have collected."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
