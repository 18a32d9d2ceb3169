"""Arguments that a model wrote as plain text: the JSON that the tool's schema makes of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nupic_client._core.generation.answer.json_scanner import is_json

__all__ = ["cast", "joined", "properties_of", "quoted"]

_INTEGER = re.compile(r"\s*([-+]?)0*([0-9]+)(?:\.0*)?\s*")
_MOST_TYPES = 32


def quoted(text: str) -> str:
    """Return a text as JSON."""
    return json.dumps(text, ensure_ascii=False)


def joined(pairs: Mapping[str, str]) -> str:
    """Return a JSON object.

    Args:
        pairs: its keys, each with the JSON of its value.
    """
    return "{" + ", ".join(f"{quoted(key)}: {value}" for key, value in pairs.items()) + "}"


def properties_of(parameters: Any) -> Mapping[str, Any]:
    """Return the schemas of a tool's arguments by name; nothing where the schema has another form."""
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def cast(text: str, schema: Any, *, json_by_default: bool) -> str:
    """Return the JSON of an argument.

    Args:
        text: the argument as the model wrote it.
        schema: its schema; None if there is none.
        json_by_default: whether JSON is taken as such where the schema says nothing of the type.
    """
    types = _types(schema)
    for name in types:
        value = _as(name, text)
        if value is not None:
            return value
    if not types and json_by_default and is_json(text):
        return text.strip()
    return quoted(text)


def _types(schema: Any, *, most: int = _MOST_TYPES) -> list[str]:
    if not isinstance(schema, Mapping) or most <= 0:
        return []
    declared = schema.get("type")
    names = [declared] if isinstance(declared, str) else []
    if isinstance(declared, Sequence) and not isinstance(declared, str):
        names += [name for name in declared if isinstance(name, str)]
    for union in ("anyOf", "oneOf"):
        choices = schema.get(union)
        if isinstance(choices, Sequence):
            for choice in choices[:most]:
                names += _types(choice, most=most // 2)
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if not names and isinstance(values, Sequence) and not isinstance(values, str):
        names += [_TYPE_NAMES[type(value)] for value in values if type(value) in _TYPE_NAMES]
    if schema.get("nullable"):
        names.append("null")
    return names


_TYPE_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _as(name: str, text: str) -> str | None:
    bare = text.strip()
    if name == "integer":
        found = _INTEGER.fullmatch(text)
        return None if found is None else f"{found[1].strip('+')}{found[2]}"
    if name == "number":
        return _number(bare)
    if name == "boolean":
        return {"true": "true", "1": "true", "false": "false", "0": "false"}.get(bare.lower())
    if name == "null":
        return "null" if bare in ("null", "None") else None
    if name in ("object", "array"):
        return bare if bare.startswith("{" if name == "object" else "[") and is_json(bare) else None
    return None


def _number(bare: str) -> str | None:
    try:
        value = float(bare) if "_" not in bare else math.nan
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return bare if is_json(bare) else repr(value)
