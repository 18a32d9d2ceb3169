"""The library's errors in the words of the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nupic_client.errors import ConfigurationError, ConnectionFailedError, NupicError, PromptError

if TYPE_CHECKING:
    import argparse

__all__ = ["error_text"]

_FIRST_WORD = re.compile(r"^([a-z_]+)(?= (?:must|takes)\b)")
_ARGUMENT = re.compile(r"\b([a-z_]+)=(?:True\b)?")
_FOR_PROGRAMS = {
    "allow_control_tokens": ", or render verbatim with allow_control_tokens=True",
    "unsupported": ", or set unsupported='warn' to go on without it",
}
"""Ways out that a command has only if it has the option."""


def error_text(error: NupicError, arguments: argparse.Namespace) -> str:
    """Return an error's text: what happened, its facts on a line of their own, and the option that helps."""
    lines = [_in_options(error, arguments)]
    facts = str(error).removeprefix(error.message).strip()
    if facts:
        lines.append(f"  {facts[1:-1]}")
    if isinstance(error, ConnectionFailedError) and getattr(arguments, "local", None) is False:
        lines.append("To use the embedded model (smollm2) instead: --local")
    return "\n".join(lines)


def _in_options(error: NupicError, arguments: argparse.Namespace) -> str:
    """Name the options of this command where the message names the arguments of a function."""
    if not isinstance(error, (ConfigurationError, PromptError)):
        return error.message  # a server's words, where a name is no option of ours

    def option(match: re.Match[str]) -> str:
        known = hasattr(arguments, match[1])
        return f"--{match[1].replace('_', '-')}" if known else match[0]

    message = error.message
    for name, way_out in _FOR_PROGRAMS.items():
        if not hasattr(arguments, name):
            message = message.removesuffix(way_out)
    return _ARGUMENT.sub(option, _FIRST_WORD.sub(option, message))
