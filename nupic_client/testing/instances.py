"""Values that fit a JSON Schema, with words of a user in them where they can stand; and texts that match a pattern."""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nupic_client._json_formats import FORMATS
from nupic_client._json_validation import Validator
from nupic_client.errors import ConfigurationError

__all__ = ["Words", "instance", "literal_of_grammar", "text_for_pattern"]

_MOST_DEPTH = 32
_EXAMPLES = {
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_QUOTED = re.compile(r"[\"“]([^\"”]+)[\"”]|(?<!\w)'([^']+)'(?!\w)")
_PROPER = re.compile(r"(?<![.!?]\s)(?<!\n)(?<!^)\b[A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*")
_AFTER = re.compile(
    r"\b(?:in|of|for|to|from|at|about|on|with)\s+(?:the\s+|a\s+|an\s+)?([^.,;:!?]+)", re.IGNORECASE
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


class Words:
    """What a user wrote, to take values from. Each is taken once, as long as there are others.

    Args:
        text: the user's.
    """

    def __init__(self, text: str) -> None:
        self.text: str = text.strip()
        self._taken: set[str] = set()

    def mentions(self, value: str) -> bool:
        """Return whether the text has this word or these words."""
        return (
            bool(value)
            and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", self.text, re.IGNORECASE) is not None
        )

    def named(self, name: str) -> str | None:
        """Return what stands behind the name of a property, such as ``city: Paris``; None if its name is not there."""
        spoken = re.escape(name).replace("_", r"[_\s]")
        found = re.search(
            rf"(?<!\w){spoken}[\"'`]?(?:\s*[:=]\s*|\s+(?:is|to|as|of|=)\s+|\s+(?=[\"“'0-9A-Z-]))"
            r"(?:[\"“']([^\"”']+)[\"”']|([^\s,;:!?]+))",
            self.text,
        )
        return (found[1] or found[2].rstrip(".")) if found else None

    def number(self, name: str, *, any_will_do: bool) -> float | None:
        """Return a number of the text: one beside the name of the property, or else any."""
        singular = re.escape(name.removesuffix("s").replace("_", " "))
        for pattern in (
            rf"(-?\d+(?:\.\d+)?)\s+{singular}",
            rf"(?<!\w){singular}s?(?!\w)\D{{1,12}}?(-?\d+(?:\.\d+)?)",
        ):
            if name and (found := re.search(pattern, self.text, re.IGNORECASE)):
                return float(found[1])
        return self._first([float(each) for each in _NUMBER.findall(self.text)]) if any_will_do else None

    def phrase(self) -> str:
        """Return what the text is most likely about: a quotation, a name, what stands behind a preposition, or all of it."""
        found = [first or second for first, second in _QUOTED.findall(self.text)]
        found += _PROPER.findall(self.text)
        found += [each.strip() for each in _AFTER.findall(self.text)]
        return self._first([each for each in found if each]) or self.text

    def token(self, fits: Any) -> str | None:
        """Return the first word that fits."""
        return next((each for each in map(_bare, self.text.split()) if each and fits(each)), None)

    def _first(self, found: Sequence[Any]) -> Any:
        """Return the first that was not taken yet, else the first."""
        for each in found:
            if str(each) not in self._taken:
                self._taken.add(str(each))
                return each
        return found[0] if found else None


def instance(schema: Any, text: str = "") -> Any:
    """Return a value that fits a schema: required properties, and others of which the text speaks.

    Args:
        schema: the JSON Schema.
        text: the text of a user, for values.
    """
    value = _Maker(schema, Words(text)).value(schema)
    if text:
        try:
            if Validator(schema, "schema").violations(value):
                return _Maker(schema, Words("")).value(schema)
        except ConfigurationError:  # a schema that only its author understands
            pass
    return value


class _Maker:
    def __init__(self, root: Any, words: Words) -> None:
        self._root = root
        self._words = words

    def value(self, schema: Any, name: str = "", depth: int = 0) -> Any:
        """Return a value for a schema, that of a property of this name."""
        schema = self._resolved(schema)
        if depth > _MOST_DEPTH:
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            options = schema["enum"]
            return next((each for each in options if self._words.mentions(str(each))), options[0])
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                rest = {word: each for word, each in schema.items() if word != key}
                return self.value({**rest, **self._best(schema[key])}, name, depth + 1)
        return self._of_type(_type_of(schema), schema, name, depth)

    def _of_type(self, kind: str, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            first = list(schema.get("prefixItems", ()))[
                : schema.get("minItems", len(schema.get("prefixItems", ())))
            ]
            more = max(0, int(schema.get("minItems", 0)) - len(first))
            return [self.value(each, name, depth + 1) for each in [*first, *[schema.get("items", {})] * more]]
        if kind in {"integer", "number"}:
            return self._number(schema, name, whole=kind == "integer")
        if kind == "boolean":
            return self._words.mentions(name.replace("_", " "))
        return None if kind == "null" else self._string(schema, name)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        value = {}
        for name, inner in properties.items():
            if name in required or self._spoken_of(name, inner):
                value[name] = self.value(inner, name, depth + 1)
        for name in required:
            if name not in properties:
                value[name] = self.value(schema.get("additionalProperties", {}), name, depth + 1)
        return value

    def _spoken_of(self, name: str, schema: Any) -> bool:
        """Return whether the text has a value for a property that may be left out."""
        schema = self._resolved(schema)
        if isinstance(schema.get("enum"), list):
            return any(isinstance(each, str) and self._words.mentions(each) for each in schema["enum"])
        kinds = {_type_of(schema)} | {_type_of(self._resolved(each)) for each in schema.get("anyOf", ())}
        if kinds & {"integer", "number"}:
            return self._words.number(name, any_will_do=False) is not None
        if "boolean" in kinds:
            return self._words.mentions(name.replace("_", " "))
        return "string" in kinds and self._words.named(name) is not None

    def _number(self, schema: Mapping[str, Any], name: str, *, whole: bool) -> float:
        found = self._words.number(name, any_will_do=True)
        step = schema.get("multipleOf", 1 if whole else 0)
        low = schema.get("minimum", -math.inf)
        if "exclusiveMinimum" in schema:
            low = max(low, schema["exclusiveMinimum"] + (step or 0.5))
        high = schema.get("maximum", math.inf)
        if "exclusiveMaximum" in schema:
            high = min(high, schema["exclusiveMaximum"] - (step or 0.5))
        number = min(max(0 if found is None else found, low), high)
        if step:
            number = math.ceil(number / step) * step
            number = number if number <= high else math.floor(high / step) * step
        return int(number) if whole else number

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        pattern, kind = schema.get("pattern"), schema.get("format")
        if pattern is not None:
            found = self._words.token(lambda word: re.search(pattern, word)) or text_for_pattern(pattern)
        elif kind in _EXAMPLES:
            found = self._words.token(FORMATS[kind]) or _EXAMPLES[kind]
        else:
            found = self._words.named(name) or self._words.phrase()
            found = found[: int(high)] if high < math.inf else found
        return found.ljust(low, "x")

    def _best(self, options: Sequence[Any]) -> Mapping[str, Any]:
        """Return the option of which the text speaks most; null comes last."""
        resolved = [self._resolved(each) for each in options]
        return max(resolved, key=lambda each: (each.get("type") != "null", self._spoken(each)))

    def _spoken(self, schema: Mapping[str, Any]) -> int:
        """Return how much the text says of what stands in a schema: names of calls above all."""
        constants = re.findall(r'"const": "([^"]+)"', json.dumps(schema))
        return sum(
            self._words.mentions(part)
            for each in constants
            for part in {each, *each.replace("_", " ").split()}
        )

    def _resolved(self, given: Any) -> Mapping[str, Any]:
        """Return a schema with the one that it refers to, and all of ``allOf`` in it."""
        schema: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        for _ in range(_MOST_DEPTH):
            if not isinstance(schema.get("$ref"), str):
                break
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._referred(schema["$ref"]), **rest}
        if not schema.get("allOf"):
            return schema
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self._resolved, schema["allOf"]):
            both = {
                "properties": {**merged.get("properties", {}), **part.get("properties", {})},
                "required": [*merged.get("required", ()), *part.get("required", ())],
            }
            merged = {**merged, **part, **{key: value for key, value in both.items() if value}}
        return merged

    def _referred(self, reference: str) -> Mapping[str, Any]:
        target = self._root
        for step in reference.lstrip("#").strip("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if step:
                target = target.get(key, {}) if isinstance(target, Mapping) else {}
        return target if isinstance(target, Mapping) else {}


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _bare(word: str) -> str:
    return word.strip(".,;:!?()[]\"'“”")


def text_for_pattern(pattern: str) -> str:
    """Return a short text that matches a simple regular expression; empty where there is none.

    Example:
        >>> text_for_pattern("[A-Z]{3}-[0-9]+")
        'AAA-0'
    """
    parser = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    try:
        text = "".join(map(_matching, parser.parse(pattern)))
        return text if re.search(pattern, text) else ""
    except (re.error, LookupError, RecursionError, OverflowError):
        return ""


def _matching(node: tuple[Any, Any]) -> str:
    """Return what matches one part of a pattern; LookupError for what is not simple."""
    kind, value = str(node[0]), node[1]
    if kind == "LITERAL":
        return chr(value)
    if kind == "IN":
        return _of_class(value)
    if kind in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        return "".join(map(_matching, value[2])) * int(value[0])
    if kind == "SUBPATTERN":
        return "".join(map(_matching, value[-1]))
    if kind == "BRANCH":
        return "".join(map(_matching, value[1][0]))
    simple = {"ANY": "a", "NOT_LITERAL": "a" if value != ord("a") else "b", "AT": ""}
    return simple[kind]


def _of_class(items: Sequence[tuple[Any, Any]]) -> str:
    kind, value = str(items[0][0]), items[0][1]
    if kind == "NEGATE":
        inside = {chr(each) for key, each in items[1:] if str(key) == "LITERAL"}
        return next(each for each in "ab0- " if each not in inside)
    if kind == "RANGE":
        return chr(value[0])
    if kind == "CATEGORY":
        return {"CATEGORY_DIGIT": "0", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}.get(str(value), "a")
    return chr(value)


def literal_of_grammar(grammar: str) -> str:
    """Return the first literal of a grammar's root, which is a text of simple grammars; empty where there is none."""
    root = re.search(r"^\s*root\s*::=(.*)", grammar, re.MULTILINE)
    found = re.search(r'"((?:[^"\\]|\\.)*)"', root[1] if root else grammar)
    return found[1].replace('\\"', '"') if found else ""
