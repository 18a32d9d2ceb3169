"""The states of what reads the calls of one field."""

from __future__ import annotations

import enum
from typing import Protocol

__all__ = ["CallReader", "Reading"]


class Reading(enum.Enum):
    """The state of a reader."""

    MORE = enum.auto()
    """It needs more text."""
    DONE = enum.auto()
    """It has read its calls."""
    WRONG = enum.auto()
    """This is not what its field has."""


class CallReader(Protocol):
    """Reads the calls of one field, piece by piece."""

    closes: bool
    settled: int

    def feed(self, text: str, position: int, *, final: bool) -> tuple[Reading, int]:
        """Read on from a place in a text; return the state and how far the text was read."""
        ...

    def finish(self, *, cut: bool) -> Reading:
        """Say that the answer has ended."""
        ...
