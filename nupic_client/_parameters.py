"""Parameters of requests, inputs and outputs that callers give, checked in one way."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TypeAlias

from nupic_client._numbers import as_integer, as_python
from nupic_client.errors import ConfigurationError

__all__ = ["NO_PARAMETERS", "Parameters", "check_parameters"]

Parameters: TypeAlias = Mapping[str, bool | int | float | str]
"""Names to values of the protocol's types."""
NO_PARAMETERS: Parameters = {}
"""Shared by everything that has none; never changed."""
_RESERVED = "triton_"


def check_parameters(
    value: object, *, subject: str = "parameters", parameter: str = "parameters"
) -> Parameters:
    """Return parameters as Python's own values.

    Args:
        value: names to values; None for none.
        subject: what they belong to, for the error text.
        parameter: see `ConfigurationError`.

    Raises:
        ConfigurationError: the protocol has no such value, or the server keeps the name for itself; the message names it.
    """
    if value is None:
        return NO_PARAMETERS
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"{subject} must be a mapping of names to values, not {type(value).__name__}", parameter=parameter
        )
    return {
        _checked_name(name, subject, parameter): _checked_value(name, item, parameter)
        for name, item in value.items()
    }


def _checked_name(name: object, subject: str, parameter: str) -> str:
    if not isinstance(name, str) or not name or not _is_unicode(name):
        raise ConfigurationError(f"{subject} must have names, not {name!r}", parameter=parameter)
    if name.startswith(_RESERVED):
        raise ConfigurationError(
            f"{subject} must not have names that begin with {_RESERVED!r}, not {name!r}: the server keeps those for itself,"
            " choose another name",
            parameter=parameter,
        )
    return name


def _checked_value(name: str, value: object, parameter: str) -> bool | int | float | str:
    found = as_python(value)
    whole = as_integer(found)
    if isinstance(found, bool) or (isinstance(found, str) and _is_unicode(found)):
        return found
    if whole is not None and -(2**63) <= whole < 2**64:
        return whole
    if isinstance(found, float):
        return found
    raise ConfigurationError(
        f"parameter {name!r} must be a bool, a string, a float or an integer from -2**63 to 2**64 - 1, not"
        f" {reprlib.repr(value)}",
        parameter=parameter,
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
