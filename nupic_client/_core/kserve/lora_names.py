"""What vLLM says of a LoRA adapter that it does not have, and the names in it.

Its text lists those that it has: ``LoRA fr is not supported, we currently support ['de', 'nl']``.
"""

from __future__ import annotations

import re

from nupic_client._suggest import did_you_mean, listed

__all__ = ["PATTERN", "advice"]

_LONGEST = 300
PATTERN = rf"LoRA .{{1,{_LONGEST}}}? is not supported, we currently support \["
"""A regular expression for these texts."""

_ASKED = re.compile(rf"LoRA (.{{1,{_LONGEST}}}?) is not supported, we currently support \[(.*)", re.DOTALL)
_NAME = re.compile(r"'([^'\\\n]*)'|\"([^\"\\\n]*)\"")


def advice(text: str) -> str:
    """Return what to do about it.

    Args:
        text: one that `PATTERN` matches.

    Example:
        >>> advice("LoRA aplaca is not supported, we currently support ['alpaca', 'sql']")
        "did you mean 'alpaca'? the server has 'alpaca', 'sql'"
    """
    match = _ASKED.search(text)
    names = [] if match is None else [single or double for single, double in _NAME.findall(match[2])]
    if match is None or not names:
        return "the server has none"
    return f"{did_you_mean(match[1], names)}the server has {listed(names)}"
