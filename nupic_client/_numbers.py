"""Numbers that callers give: those of Python, numpy and other libraries, read in one way.

A bool is no number, and neither is a text, whatever it says.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from nupic_client.errors import ConfigurationError

__all__ = [
    "LONGEST_TIMEOUT",
    "as_bool",
    "as_integer",
    "as_number",
    "as_python",
    "check_integer",
    "check_number",
    "check_seconds",
    "check_wait",
]

# 31 years. gRPC counts nanoseconds in 64 bits: a longer timeout would overflow, and the call would end at once.
LONGEST_TIMEOUT = 1e9


def as_python(value: object) -> object:
    """Return a number of numpy, or another library's array without dimensions, as Python's own; all else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def as_bool(value: object) -> bool | None:
    """Return a truth value, also one of numpy; None for all else."""
    value = as_python(value)
    return value if isinstance(value, bool) else None


def as_integer(value: object) -> int | None:
    """Return a whole number as ``int``; None for all else, 1.0 and True among it.

    Example:
        >>> as_integer(5), as_integer(5.0), as_integer(True)
        (5, None, None)
    """
    number: Any = as_python(value)
    try:
        return None if isinstance(number, bool) else operator.index(number)
    except TypeError:
        return None


def as_number(value: object) -> float | None:
    """Return a number as ``float``; None for what is none, and for NaN.

    Example:
        >>> as_number(1), as_number("1")
        (1.0, None)
    """
    number: Any = as_python(value)
    if isinstance(number, (bool, complex, str, bytes, bytearray)) or hasattr(number, "ndim"):
        return None
    try:
        number = float(number)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def check_integer(name: str, value: object, allowed: str, *, low: int, high: int | None = None) -> int:
    """Return a whole number from ``low`` to ``high`` as ``int``.

    Args:
        name: of the argument.
        value: of the argument.
        allowed: what it must be, for the error text.
        low: the least number.
        high: the greatest number; None for no bound.

    Raises:
        ConfigurationError: it is none.
    """
    number = as_integer(value)
    if number is None or number < low or (high is not None and number > high):
        raise _refused(name, value, allowed)
    return number


def check_number(
    name: str, value: object, allowed: str, *, low: float, high: float = math.inf, open_low: bool = False
) -> float:
    """Return a finite number from ``low`` to ``high`` as ``float``.

    Args:
        name: of the argument.
        value: of the argument.
        allowed: what it must be, for the error text.
        low: the least number.
        high: the greatest number.
        open_low: whether ``low`` itself is too little.

    Raises:
        ConfigurationError: it is none.
    """
    number = as_number(value)
    if number is None or math.isinf(number) or not low <= number <= high or (open_low and number == low):
        raise _refused(name, value, allowed)
    return number


def check_seconds(name: str, value: object) -> float | None:
    """Return a positive number of seconds as ``float``, or None for no limit.

    Raises:
        ConfigurationError: it is neither.
    """
    if value is None:
        return None
    allowed = "a positive number of seconds or None for no limit"
    return check_number(name, value, allowed, low=0.0, high=LONGEST_TIMEOUT, open_low=True)


def check_wait(value: object) -> float | None:
    """Return the ``timeout`` of a wait as ``float``: 0 only looks, None waits without limit.

    Raises:
        ConfigurationError: it is no number of seconds.
    """
    if value is None:
        return None
    allowed = "a number of seconds >= 0 or None for no limit"
    return check_number("timeout", value, allowed, low=0.0, high=LONGEST_TIMEOUT)


def _refused(name: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{name} must be {allowed}, not {value!r}", parameter=name)
