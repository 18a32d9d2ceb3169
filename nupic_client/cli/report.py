"""The figures of a generation, and the progress of a download."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

from nupic_client.cli.terminal import json_text, say
from nupic_client.display import summary

if TYPE_CHECKING:
    from nupic_client.results import Generation

__all__ = ["ProgressLine", "as_json", "summary"]


def as_json(generation: Generation) -> str:
    """Return a generation as a JSON object on one line, with the fields of `Generation`."""
    attempts = [attempt._asdict() for attempt in generation.attempts]
    return json_text({**dataclasses.asdict(generation), "attempts": attempts})


_PHASES = {
    "download": "downloading the language model",
    "extract": "unpacking the language model",
    "install": "installing the real Triton",
}


class ProgressLine:
    """Show the progress of a download on stderr: redrawn on a terminal, else one line per phase.

    Example:
        >>> server = LocalServer(progress=ProgressLine())  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._phase = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show the progress of a phase: ``done`` of ``total`` bytes."""
        line = f"{_PHASES.get(what, what)} ({total / 1e6:.0f} MB, only this once)"
        if not sys.stderr.isatty():
            if what != self._phase:
                say(line)
        else:
            if self._phase not in {"", what}:
                say("")
            sys.stderr.write(f"\r{line} {100 * done // max(total, 1):3d} %")
            sys.stderr.flush()
        self._phase = what

    def end(self) -> None:
        """End the redrawn line, if there is one."""
        if self._phase and sys.stderr.isatty():
            say("")
        self._phase = ""
