"""JSON Schemas that can be checked here: a keyword that changes the meaning and is not known is refused by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nupic_client._json_keywords import CHECKS
from nupic_client._json_values import is_number, resolve, shown
from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError

__all__ = ["KEYWORDS", "SchemaCheck", "in_place", "subschemas"]

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_ANNOTATIONS = frozenset(
    {
        *("title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly"),
        *("$comment", "$schema", "$id", "discriminator"),
        *("contentEncoding", "contentMediaType", "contentSchema"),
    }
)
"""Keywords that say nothing of what is valid."""
_REFUSED: Mapping[str, str] = {
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
    "dependentSchemas": "use anyOf",
    "dependencies": "use dependentRequired or anyOf",
    "additionalItems": "use items after prefixItems",
    "nullable": "use anyOf with the type null",
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
    "$dynamicAnchor": "use $defs",
    "$recursiveAnchor": "use $defs",
    "$anchor": "use $defs",
    "divisibleBy": "use multipleOf",
    "disallow": "use not",
    "extends": "use allOf",
}
"""Keywords of some draft or dialect that change the meaning, and what says the same."""
_SILENT = ("then", "else", "minContains", "maxContains", "$defs", "definitions")
"""Keywords that others read."""
KEYWORDS = (*CHECKS, *_SILENT)
"""The keywords that are known, besides annotations."""


def subschemas(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the schemas directly inside of one that was checked, each with the path to it."""
    for keyword, value in schema.items():
        form = _FORMS.get(keyword)
        if form is _a_schema:
            yield keyword, value
        elif form is _schemas:
            yield from ((f"{keyword}/{index}", each) for index, each in enumerate(value))
        elif form is _named_schemas:
            yield from ((f"{keyword}/{name}", each) for name, each in value.items())


def in_place(schema: Any) -> Iterator[Any]:
    """Yield the schemas that one applies to the very value that it is applied to, without references."""
    if isinstance(schema, dict):
        for keyword in ("allOf", "anyOf", "oneOf"):
            yield from schema.get(keyword, ())
        for keyword in ("not", "if", "then", "else"):
            if keyword in schema:
                yield schema[keyword]


def _a_schema(value: Any) -> str:
    return "" if isinstance(value, (dict, bool)) else "a schema"


def _schemas(value: Any) -> str:
    fits = isinstance(value, list) and all(isinstance(each, (dict, bool)) for each in value)
    return "" if fits else "a list of schemas"


def _named_schemas(value: Any) -> str:
    fits = isinstance(value, dict) and all(isinstance(each, (dict, bool)) for each in value.values())
    return "" if fits else "a mapping of names to schemas"


def _a_count(value: Any) -> str:
    return "" if is_number(value) and value >= 0 and value == int(value) else "a number of them >= 0"


def _a_number(value: Any) -> str:
    return "" if is_number(value) else "a number"


def _a_size(value: Any) -> str:
    return "" if is_number(value) and value > 0 else "a number > 0"


def _names_list(value: Any) -> str:
    return (
        "" if isinstance(value, list) and all(isinstance(each, str) for each in value) else "a list of names"
    )


def _types(value: Any) -> str:
    given = value if isinstance(value, list) else [value]
    fits = bool(given) and all(isinstance(each, str) and each in _TYPES for each in given)
    return "" if fits else f"of {listed(_TYPES)}"


def _values(value: Any) -> str:
    return "" if isinstance(value, list) and value else "a list of at least one value"


def _regex(value: Any) -> str:
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError):
        return "a regular expression that Python can read"
    return ""


def _regexes(value: Any) -> str:
    words = _named_schemas(value)
    return words or next(filter(None, map(_regex, value)), "")


def _some_schemas(value: Any) -> str:
    return _schemas(value) or ("" if value else "a list of at least one schema")


_FORMS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _a_count
    ),
    **dict.fromkeys(("minContains", "maxContains"), _a_count),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _a_number),
    **dict.fromkeys(("items", "contains", "additionalProperties", "propertyNames"), _a_schema),
    **dict.fromkeys(("not", "if", "then", "else"), _a_schema),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _schemas),
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), _named_schemas),
    "multipleOf": _a_size,
    "required": _names_list,
    "type": _types,
    "enum": _values,
    "pattern": _regex,
    "format": lambda value: "" if isinstance(value, str) else "the name of a format",
    "uniqueItems": lambda value: "" if isinstance(value, bool) else "true or false",
    "dependentRequired": lambda value: (
        ""
        if isinstance(value, dict) and not any(map(_names_list, value.values()))
        else "lists of names by name"
    ),
    "$ref": lambda value: "" if isinstance(value, str) else "a reference",
}
"""For each keyword a function that says what its value must be, or nothing if it is."""
_MORE_FORMS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _some_schemas),
    "patternProperties": _regexes,
}


class SchemaCheck:
    """The check of one schema."""

    def __init__(self, root: Any, name: str) -> None:
        self._root = root
        self._name = name
        self._endless: set[int] = set()

    def run(self) -> None:
        try:
            self._check(self._root, "")
        except RecursionError:
            raise self._error("", "is nested too deeply") from None

    def _check(self, schema: Any, path: str) -> None:
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise self._error(path, f"must be a JSON Schema, not {shown(schema)}")
        for keyword, value in schema.items():
            self._check_keyword(keyword, value, path)
        if "$ref" in schema:
            self._check_reference(schema["$ref"], path)
        self._check_end(schema, path, ())
        for place, each in subschemas(schema):
            self._check(each, f"{path}/{place}")

    def _check_keyword(self, keyword: str, value: Any, path: str) -> None:
        if keyword in _REFUSED:
            raise self._error(path, f"has {keyword!r}, which is not supported: {_REFUSED[keyword]}")
        if keyword == "items" and isinstance(value, list):
            raise self._error(path, "has a list as 'items', as old drafts do: call it prefixItems")
        for forms in (_FORMS, _MORE_FORMS):
            wanted = forms[keyword](value) if keyword in forms else ""
            if wanted:
                raise self._error(path, f"has {keyword!r}, which must be {wanted}, not {shown(value)}")
        if keyword not in _FORMS and keyword not in _ANNOTATIONS and keyword != "const":
            near = did_you_mean(keyword, KEYWORDS)
            if near:
                raise self._error(path, f"has the unknown keyword {keyword!r}: {near.strip()}")

    def _check_reference(self, reference: str, path: str) -> None:
        if reference != "#" and not reference.startswith("#/"):
            raise self._error(
                path,
                f"has the $ref {reference!r:.80}: only references to a part of the schema are supported, as #/$defs/…",
            )
        target = resolve(self._root, reference)
        if not isinstance(target, (dict, bool)):
            near = did_you_mean(reference, [f"#/$defs/{name}" for name in self._root.get("$defs", {})])
            raise self._error(
                path,
                f"has the $ref {reference!r:.80}, which leads nowhere{': ' if near else ''}{near.strip()}",
            )
        if isinstance(target, dict) and not _below_schemas(self._root, reference):
            self._check(target, reference[1:])

    def _check_end(self, schema: Any, path: str, above: tuple[int, ...]) -> None:
        """Check that a schema does not apply itself to the value that it is applied to: that would never end."""
        if not isinstance(schema, dict) or id(schema) in self._endless:
            return
        if id(schema) in above:
            raise self._error(path, "refers to itself without an end")
        targets = [*in_place(schema)]
        if isinstance(schema.get("$ref"), str):
            targets.append(resolve(self._root, schema["$ref"]))
        for target in targets:
            self._check_end(target, path, (*above, id(schema)))
        self._endless.add(id(schema))

    def _error(self, path: str, words: str) -> ConfigurationError:
        place = f" at {path}" if path else ""
        return ConfigurationError(f"{self._name}: the JSON Schema{place} {words}", parameter=self._name)


def _below_schemas(root: Any, reference: str) -> bool:
    """Return whether a reference leads to a place that is checked as a schema anyway."""
    schema, rest = root, reference[2:]
    while rest:
        found = next(
            (
                (each, rest[len(place) :].removeprefix("/"))
                for place, each in (subschemas(schema) if isinstance(schema, dict) else ())
                if rest == place or rest.startswith(f"{place}/")
            ),
            None,
        )
        if found is None:
            return False
        schema, rest = found
    return True
