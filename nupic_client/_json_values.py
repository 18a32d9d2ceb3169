"""Values of JSON: their types and places in words, and the parts of one that a pointer means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

__all__ = [
    "DEEPEST",
    "Path",
    "as_json",
    "canonical",
    "is_number",
    "kind_of",
    "place_of",
    "plain",
    "resolve",
    "shown",
]

Path: TypeAlias = tuple["str | int", ...]
"""The place of a value in another one: keys and indexes."""
DEEPEST = 200
"""How deep a value may be nested. What follows it into its depth soon comes to the end of Python's stack."""


def plain(value: Any) -> Any:
    """Return mappings as ``dict`` and sequences as ``list``, for what JSON does not know, like ``MappingProxyType``."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def as_json(value: Any) -> Any:
    """Return a copy of a value, as JSON reads it again.

    Raises:
        ValueError: JSON cannot hold it, or it is nested too deep; the text says which.
    """
    try:
        copied = json.loads(json.dumps(plain(value), allow_nan=False))
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} deep, or has itself inside") from None
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from None
    level = [copied]
    for _ in range(DEEPEST + 1):
        level = [part for item in level for part in _parts(item)]
        if not level:
            return copied
    raise ValueError(f"it is nested more than {DEEPEST} deep")


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def resolve(root: Any, reference: str) -> Any:
    """Return the part of a schema that a reference inside it means; None where there is none."""
    part = root
    for step in reference.split("/")[1:]:
        token = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict) and token in part:
            part = part[token]
        elif isinstance(part, list) and token.isascii() and token.isdigit() and int(token) < len(part):
            part = part[int(token)]
        else:
            return None
    return part


def place_of(path: Path) -> str:
    """Return a place in a value as it would be written in a program."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{step!r:.60}]"
    return text or "the value"


def shown(value: Any) -> str:
    """Return a value of a model for a sentence."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def kind_of(value: Any) -> str:
    """Return the type of a value as JSON Schema calls it; whole numbers are integers."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, (int, float)):
        return "integer" if isinstance(value, int) or value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def canonical(value: Any) -> Any:
    """Return a value in a form that is equal for the same JSON value: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool) or value is None:
        return (value,)
    if isinstance(value, list):
        return ("[", *map(canonical, value))
    if isinstance(value, dict):
        return ("{", frozenset((key, canonical(item)) for key, item in value.items()))
    return value
