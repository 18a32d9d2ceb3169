"""Certificates as the settings of other programs have them: a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from nupic_client import TLS, ConfigurationError

__all__ = ["tls_of"]


def tls_of(given: Mapping[str, Any]) -> TLS:
    """Return the certificates and names that a mapping has under the names of the arguments of `TLS`.

    Raises:
        ConfigurationError: a name or a value is wrong.
    """
    names = [field.name for field in fields(TLS)]
    wrong = next((name for name in given if name not in names), None)
    if wrong is not None:
        raise ConfigurationError(f"tls must have {', '.join(names)} only, not {wrong!r}", parameter="tls")
    return TLS(**given)
