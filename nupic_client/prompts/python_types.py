"""JSON Schemas as Python types, as some templates show the parameters of tools to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nupic_client.tools import Tool

__all__ = ["described", "properties_of", "python_type"]

_SIMPLE = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}
# The templates ask for the items of a list in such a way that they never get them.
_UNKNOWN = "Union[]"


def properties_of(tool: Tool) -> Mapping[str, Any]:
    """Return the parameters of a tool and their schemas."""
    properties = tool.parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def described(schema: Any) -> str:
    """Return the description of a parameter; nothing where it has none, or where its schema is just true or false."""
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def python_type(schema: Any, listed: str, mapped: str, bare: str | None = None) -> str:
    """Return a type, as the macro of Hermes's and Cohere's templates does.

    Args:
        schema: the JSON Schema.
        listed: the type of a list, with ``{}`` for that of its items.
        mapped: the type of an object, with ``{}`` for that of its values.
        bare: the type of an object that does not say of which type its values are.
    """
    schema = schema if isinstance(schema, Mapping) else {}
    kind = schema.get("type", _UNKNOWN)
    if isinstance(kind, str) and kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind == "array":
        return listed.format(_UNKNOWN)
    if kind == "object":
        if "additionalProperties" not in schema and bare is not None:
            return bare
        return mapped.format(python_type(schema.get("additionalProperties"), listed, mapped, bare))
    if isinstance(kind, (list, tuple)):
        return f"Union[{','.join([python_type({'type': one}, listed, mapped, bare) for one in kind])}]"
    if kind == _UNKNOWN:
        return _UNKNOWN
    # The templates fail on "null" and on types that are not JSON's.
    return "None" if kind == "null" else "Any"
