"""JSON Schemas that the client can check: which they are, and how a value violates one.

A schema is checked before it is used, so that what passes is what the whole schema says. Values come from models: nothing in
them raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nupic_client._json_keywords import Run, TooMuchError
from nupic_client._json_schema_check import SchemaCheck
from nupic_client._json_values import as_json
from nupic_client.errors import ConfigurationError

__all__ = ["MOST_VIOLATIONS", "Validator"]

MOST_VIOLATIONS = 20
"""The most violations that are told of one value."""


class Validator:
    """A schema that was checked, and checks values. Immutable; a copy of the schema that was given.

    Args:
        schema: a JSON Schema.
        name: of the argument, for error texts.

    Raises:
        ConfigurationError: it is no JSON Schema, or has what is not known here.
    """

    __slots__ = ("schema",)

    def __init__(self, schema: Mapping[str, Any], name: str = "response_format") -> None:
        try:
            copied = as_json(schema)
        except ValueError as error:
            raise ConfigurationError(f"{name} must be JSON: {error}", parameter=name) from None
        SchemaCheck(copied, name).run()
        self.schema: dict[str, Any] = copied
        """The schema."""

    def violations(self, value: Any) -> tuple[str, ...]:
        """Return in words how a value violates the schema; nothing for one that fits it.

        Args:
            value: what ``json.loads`` gives.
        """
        run = Run(self.schema)
        found: list[str] = []
        try:
            for violation in run.violations(self.schema, value, ()):
                found.append(violation)
                if len(found) >= MOST_VIOLATIONS:
                    break
        except (TooMuchError, RecursionError):
            found.append("the value is too large, or nested too deeply, to be checked")
        return tuple(found)
