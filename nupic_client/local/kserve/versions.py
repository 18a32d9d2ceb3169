"""Versions of models in requests."""

from __future__ import annotations

import re

from nupic_client.local.kserve.status import invalid

__all__ = ["check_version"]

_MOST_DIGITS = 19
"""Digits of the largest version number."""


def check_version(text: str) -> str:
    """Return the requested version, parsed as the server parses numbers: ``"1"`` for ``" 1x"``; "" for none.

    Raises:
        StatusError: it is not a number.
    """
    if not text:
        return ""
    digits = re.match(r"\s*([+-]?)0*(\d+)", text, re.ASCII)
    # Python is slow with numbers of a million digits, or refuses them.
    number = int(digits[1] + digits[2]) if digits and len(digits[2]) <= _MOST_DIGITS else None
    if number is None or not -(2**63) <= number < 2**63:
        raise invalid(
            f"failed to get model version from specified version string '{text}' (details: stol), version "
            "should be an integral value > 0"
        )
    if number < 0:
        raise invalid(f"invalid model version specified '{text}' , version should be an integral value > 0")
    return str(number)
