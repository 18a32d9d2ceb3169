"""The figures of a generation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from nupic_client.cli.terminal import json_text
from nupic_client.display import summary

if TYPE_CHECKING:
    from nupic_client.results import Generation

__all__ = ["as_json", "summary"]


def as_json(generation: Generation, **more: Any) -> str:
    """Return a generation as a JSON object on one line, with the fields of `Generation`, and more."""
    attempts = [attempt._asdict() for attempt in generation.attempts]
    return json_text({**dataclasses.asdict(generation), "attempts": attempts, **more})
