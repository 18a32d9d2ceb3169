"""The figures of a generation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nupic_client.cli.terminal import json_text

if TYPE_CHECKING:
    from nupic_client.results import Generation

__all__ = ["as_json", "summary"]


_SHORTEST_FOR_A_RATE = 0.1
"""Seconds from the first token to the last. What comes in a burst was ready before, and has no rate."""


def summary(generation: Generation) -> str:
    """Return the figures of a generation as one readable line."""
    timing = generation.timing
    tokens = generation.usage.output_tokens
    parts = []
    if timing.time_to_first_token is not None:
        parts.append(f"time to first token {timing.time_to_first_token:.2f} s")
    if tokens is None:
        rate, count, unit = timing.chunks_per_second, timing.chunks, "chunk"
    else:
        rate, count, unit = timing.tokens_per_second, tokens, "token"
    if rate is not None and count / rate >= _SHORTEST_FOR_A_RATE:
        parts.append(f"{rate:.1f} {unit}s/s")
    parts.append(f"{count} {unit}" if count == 1 else f"{count} {unit}s")
    if generation.finish_reason is not None:
        parts.append(str(generation.finish_reason))
    return " · ".join(parts)


def as_json(generation: Generation) -> str:
    """Return a generation as a JSON object on one line, with the fields of `Generation`."""
    attempts = [attempt._asdict() for attempt in generation.attempts]
    return json_text({**dataclasses.asdict(generation), "attempts": attempts})
