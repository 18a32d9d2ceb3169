"""JSON Schemas that the client can check: which they are, and how a value violates one.

A schema is checked before it is used: a keyword that changes its meaning and is not known here is refused by its name, so
that what passes is what the whole schema says. Values come from models: nothing in them raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from nupic_client._json_formats import FORMATS
from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError

__all__ = ["KEYWORDS", "Validator", "in_place", "subschemas"]

MOST_VIOLATIONS = 20
"""The most violations that are told of one value."""
_DEEPEST = 200
"""How deep a value may be nested; Python's own stack ends soon after that."""
_MOST_STEPS = 1_000_000
"""The most pairs of a schema and a value that are compared for one value."""

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

Path: TypeAlias = tuple["str | int", ...]
Check: TypeAlias = Callable[["_Run", Any, Mapping[str, Any], Any, Path], Iterator[str]]
"""Yields the violations of one keyword: of a run, the keyword's value, its schema, a value and the place of it."""


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
            copied = json.loads(json.dumps(_plain(schema), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"{name} must be JSON: {error}", parameter=name) from None
        _Checker(copied, name).run()
        self.schema: dict[str, Any] = copied
        """The schema."""

    def violations(self, value: Any) -> tuple[str, ...]:
        """Return in words how a value violates the schema; nothing for one that fits it.

        Args:
            value: what ``json.loads`` gives.
        """
        run = _Run(self.schema)
        found: list[str] = []
        try:
            for violation in run.violations(self.schema, value, ()):
                found.append(violation)
                if len(found) >= MOST_VIOLATIONS:
                    break
        except (_TooMuchError, RecursionError):
            found.append("the value is too large, or nested too deeply, to be checked")
        return tuple(found)


def _plain(value: Any) -> Any:
    """Return mappings as ``dict`` and sequences as ``list``, for what JSON does not know, like ``MappingProxyType``."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


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


class _TooMuchError(Exception):
    """The value cannot be checked in the time that is reasonable."""


class _Run:
    """The check of one value."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._steps = 0
        self._known: dict[tuple[int, int], bool] = {}

    def fits(self, schema: Any, value: Any) -> bool:
        """Return whether a value fits a schema. Remembered: of alternatives in alternatives each is tried once."""
        key = (id(schema), id(value))
        if key not in self._known:
            self._known[key] = next(self.violations(schema, value, ()), None) is None
        return self._known[key]

    def violations(self, schema: Any, value: Any, path: Path) -> Iterator[str]:
        """Yield the violations of a value."""
        self._steps += 1
        if self._steps > _MOST_STEPS or len(path) > _DEEPEST:
            raise _TooMuchError
        if isinstance(schema, bool):
            if not schema:
                yield f"{_at(path)} must not be there"
            return
        for keyword, given in schema.items():
            check = _CHECKS.get(keyword)
            if check is not None:
                yield from check(self, given, schema, value, path)

    def followed(self, schema: Any) -> Any:
        """Return the schema that one refers to, if it does."""
        for _ in range(8):
            if not isinstance(schema, dict) or "$ref" not in schema:
                break
            schema = self.referred(schema["$ref"])
        return schema

    def referred(self, reference: str) -> Any:
        """Return the schema that a reference means."""
        return resolve(self._root, reference)


def _at(path: Path) -> str:
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


def _is_number(value: Any) -> bool:
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


def _type(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    wanted = [given] if isinstance(given, str) else given
    kind = kind_of(value)
    if kind not in wanted and not (kind == "integer" and "number" in wanted):
        article = "an" if wanted[0][0] in "aio" else "a"
        yield f"{_at(path)} must be {article} {' or '.join(wanted)}, not {shown(value)}"


def _enum(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    found = canonical(value)
    if all(canonical(each) != found for each in given):
        yield f"{_at(path)} must be one of {listed(map(_Shown, given))}, not {shown(value)}"


class _Shown(str):
    """A value in a list of them."""

    __slots__ = ()

    def __new__(cls, value: Any) -> _Shown:  # noqa: PYI034 - no Self for Python 3.10
        return super().__new__(cls, shown(value))

    def __repr__(self) -> str:
        return str(self)


def _const(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if canonical(given) != canonical(value):
        yield f"{_at(path)} must be {shown(given)}, not {shown(value)}"


def _bound(words: str, fits: Callable[[Any, Any], bool]) -> Check:
    def check(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
        if _is_number(value) and not fits(value, given):
            yield f"{_at(path)} must be {words} {shown(given)}, not {shown(value)}"

    return check


def _is_multiple(value: Any, of: Any) -> bool:
    """Return whether a number is a multiple as its decimal digits say it: 0.3 is one of 0.1."""
    if abs(Decimal(repr(value)).adjusted() - Decimal(repr(of)).adjusted()) > 5000:
        return False  # numbers so far apart would take all memory
    return (Fraction(repr(value)) / Fraction(repr(of))).denominator == 1


def _size(kind: Any, words: str, unit: str, fits: Callable[[int, int], bool]) -> Check:
    def check(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
        if isinstance(value, kind) and not fits(len(value), given):
            yield f"{_at(path)} must have {words} {int(given)} {unit}, not {len(value)}"

    return check


def _pattern(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, str) and not re.search(given, value):
        yield f"{_at(path)} must match the pattern {given!r:.80}, not {shown(value)}"


def _format(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    fits = FORMATS.get(given)
    if fits is not None and isinstance(value, str) and not fits(value):
        yield f"{_at(path)} must be a {given}, not {shown(value)}"


def _required(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for name in given:
            if name not in value:
                yield f"{_at((*path, name))} is missing"


def _dependent(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for name, others in given.items():
            for other in others if name in value else ():
                if other not in value:
                    yield f"{_at((*path, other))} is missing, which {name!r:.60} needs"


def _properties(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for name, schema in given.items():
            if name in value:
                yield from run.violations(schema, value[name], (*path, name))


def _patterns(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for pattern, schema in given.items():
            for name, item in value.items():
                if re.search(pattern, name):
                    yield from run.violations(schema, item, (*path, name))


def _additional(run: _Run, given: Any, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if not isinstance(value, dict) or given is True:
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, item in value.items():
        if name in named or any(re.search(pattern, name) for pattern in patterns):
            continue
        if given is False:
            yield f"{_at((*path, name))} must not be there: {did_you_mean(name, named)}there is {listed(named) or 'nothing'}"
        else:
            yield from run.violations(given, item, (*path, name))


def _names(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for name in value:
            if not run.fits(given, name):
                yield f"{_at(path)} must not have a property of the name {name!r:.60}"


def _prefix(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, list):
        for index, (schema, item) in enumerate(zip(given, value, strict=False)):
            yield from run.violations(schema, item, (*path, index))


def _items(run: _Run, given: Any, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, list):
        first = len(schema.get("prefixItems", ()))
        for index, item in enumerate(value[first:], first):
            yield from run.violations(given, item, (*path, index))


def _unique(_run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if given and isinstance(value, list) and len({*map(canonical, value)}) != len(value):
        yield f"{_at(path)} must have no item twice"


def _contains(run: _Run, given: Any, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, list):
        count = sum(run.fits(given, item) for item in value)
        least, most = schema.get("minContains", 1), schema.get("maxContains", math.inf)
        if not least <= count <= most:
            yield f"{_at(path)} must have from {least} to {most} items of the kind that contains says, not {count}"


def _all_of(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    for schema in given:
        yield from run.violations(schema, value, path)


def _any_of(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if not any(run.fits(schema, value) for schema in given):
        yield from _of_no_alternative(run, given, value, path)


def _of_no_alternative(run: _Run, given: Sequence[Any], value: Any, path: Path) -> Iterator[str]:
    """Yield the violations of the alternative that is meant: the only one of the value's type."""
    meant = [one for one in map(run.followed, given) if isinstance(one, dict) and _has_type(run, one, value)]
    if len(meant) > 1:
        meant = [one for one in meant if _has_marks(run, one, value)]
    if len(meant) == 1:
        yield from run.violations(meant[0], value, path)
    else:
        yield f"{_at(path)} must fit one of {len(given)} alternatives, not {shown(value)}"


def _has_type(run: _Run, schema: Mapping[str, Any], value: Any) -> bool:
    return next(_type(run, schema["type"], schema, value, ()), None) is None if "type" in schema else True


def _has_marks(run: _Run, schema: Mapping[str, Any], value: Any) -> bool:
    """Return whether an object has the properties that tell alternatives apart: those with one value, or a few."""
    marks = [
        (name, each)
        for name, each in schema.get("properties", {}).items()
        if isinstance(each, dict) and not each.keys().isdisjoint(("const", "enum"))
    ]
    return isinstance(value, dict) and all(
        name in value and run.fits(each, value[name]) for name, each in marks
    )


def _one_of(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    count = sum(run.fits(schema, value) for schema in given)
    if not count:
        yield from _of_no_alternative(run, given, value, path)
    elif count > 1:
        yield f"{_at(path)} must fit exactly one of {len(given)} alternatives, not {count}"


def _not(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if run.fits(given, value):
        yield f"{_at(path)} must not be {shown(value)}"


def _if(run: _Run, given: Any, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    branch = schema.get("then" if run.fits(given, value) else "else")
    if branch is not None:
        yield from run.violations(branch, value, path)


def _ref(run: _Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    yield from run.violations(run.referred(given), value, path)


_CHECKS: Mapping[str, Check] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _bound("at least", lambda value, given: bool(value >= given)),
    "maximum": _bound("at most", lambda value, given: bool(value <= given)),
    "exclusiveMinimum": _bound("more than", lambda value, given: bool(value > given)),
    "exclusiveMaximum": _bound("less than", lambda value, given: bool(value < given)),
    "multipleOf": _bound("a multiple of", _is_multiple),
    "minLength": _size(str, "at least", "characters", lambda size, given: size >= given),
    "maxLength": _size(str, "at most", "characters", lambda size, given: size <= given),
    "pattern": _pattern,
    "format": _format,
    "required": _required,
    "dependentRequired": _dependent,
    "properties": _properties,
    "patternProperties": _patterns,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "minProperties": _size(dict, "at least", "properties", lambda size, given: size >= given),
    "maxProperties": _size(dict, "at most", "properties", lambda size, given: size <= given),
    "prefixItems": _prefix,
    "items": _items,
    "minItems": _size(list, "at least", "items", lambda size, given: size >= given),
    "maxItems": _size(list, "at most", "items", lambda size, given: size <= given),
    "uniqueItems": _unique,
    "contains": _contains,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "$ref": _ref,
}
_SILENT = ("then", "else", "minContains", "maxContains", "$defs", "definitions")
"""Keywords that others read."""
KEYWORDS = (*_CHECKS, *_SILENT)
"""The keywords that are known, besides annotations."""


def _a_schema(value: Any) -> str:
    return "" if isinstance(value, (dict, bool)) else "a schema"


def _schemas(value: Any) -> str:
    fits = isinstance(value, list) and all(isinstance(each, (dict, bool)) for each in value)
    return "" if fits else "a list of schemas"


def _named_schemas(value: Any) -> str:
    fits = isinstance(value, dict) and all(isinstance(each, (dict, bool)) for each in value.values())
    return "" if fits else "a mapping of names to schemas"


def _a_count(value: Any) -> str:
    return "" if _is_number(value) and value >= 0 and value == int(value) else "a number of them >= 0"


def _a_number(value: Any) -> str:
    return "" if _is_number(value) else "a number"


def _a_size(value: Any) -> str:
    return "" if _is_number(value) and value > 0 else "a number > 0"


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


class _Checker:
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
