"""The keywords of JSON Schema, as checks of a value. Values come from models: nothing in them raises."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from nupic_client._json_formats import FORMATS
from nupic_client._json_values import DEEPEST, Path, canonical, is_number, kind_of, place_of, resolve, shown
from nupic_client._suggest import did_you_mean, listed

__all__ = ["CHECKS", "Run", "TooMuchError"]

_MOST_STEPS = 1_000_000
"""The most pairs of a schema and a value that are compared for one value."""

Check: TypeAlias = Callable[["Run", Any, Mapping[str, Any], Any, Path], Iterator[str]]
"""Yields the violations of one keyword: of a run, the keyword's value, its schema, a value and the place of it."""


class TooMuchError(Exception):
    """The value cannot be checked in the time that is reasonable."""


class Run:
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
        if self._steps > _MOST_STEPS or len(path) > DEEPEST:
            raise TooMuchError
        if isinstance(schema, bool):
            if not schema:
                yield f"{place_of(path)} must not be there"
            return
        for keyword, given in schema.items():
            check = CHECKS.get(keyword)
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


def _type(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    wanted = [given] if isinstance(given, str) else given
    kind = kind_of(value)
    if kind not in wanted and not (kind == "integer" and "number" in wanted):
        article = "an" if wanted[0][0] in "aio" else "a"
        yield f"{place_of(path)} must be {article} {' or '.join(wanted)}, not {shown(value)}"


def _enum(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    found = canonical(value)
    if all(canonical(each) != found for each in given):
        yield f"{place_of(path)} must be one of {listed(map(_Shown, given))}, not {shown(value)}"


class _Shown(str):
    """A value in a list of them."""

    __slots__ = ()

    def __new__(cls, value: Any) -> _Shown:  # noqa: PYI034 - no Self for Python 3.10
        return super().__new__(cls, shown(value))

    def __repr__(self) -> str:
        return str(self)


def _const(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if canonical(given) != canonical(value):
        yield f"{place_of(path)} must be {shown(given)}, not {shown(value)}"


def _bound(words: str, fits: Callable[[Any, Any], bool]) -> Check:
    def check(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
        if is_number(value) and not fits(value, given):
            yield f"{place_of(path)} must be {words} {shown(given)}, not {shown(value)}"

    return check


def _is_multiple(value: Any, of: Any) -> bool:
    """Return whether a number is a multiple as its decimal digits say it: 0.3 is one of 0.1."""
    if abs(Decimal(repr(value)).adjusted() - Decimal(repr(of)).adjusted()) > 5000:
        return False  # numbers so far apart would take all memory
    return (Fraction(repr(value)) / Fraction(repr(of))).denominator == 1


def _size(kind: Any, words: str, unit: str, fits: Callable[[int, int], bool]) -> Check:
    def check(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
        if isinstance(value, kind) and not fits(len(value), given):
            yield f"{place_of(path)} must have {words} {int(given)} {unit}, not {len(value)}"

    return check


def _pattern(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, str) and not re.search(given, value):
        yield f"{place_of(path)} must match the pattern {given!r:.80}, not {shown(value)}"


def _format(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    fits = FORMATS.get(given)
    if fits is not None and isinstance(value, str) and not fits(value):
        yield f"{place_of(path)} must be a {given}, not {shown(value)}"


def _required(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for name in given:
            if name not in value:
                yield f"{place_of((*path, name))} is missing"


def _dependent(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for name, others in given.items():
            for other in others if name in value else ():
                if other not in value:
                    yield f"{place_of((*path, other))} is missing, which {name!r:.60} needs"


def _properties(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for name, schema in given.items():
            if name in value:
                yield from run.violations(schema, value[name], (*path, name))


def _patterns(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for pattern, schema in given.items():
            for name, item in value.items():
                if re.search(pattern, name):
                    yield from run.violations(schema, item, (*path, name))


def _additional(run: Run, given: Any, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if not isinstance(value, dict) or given is True:
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, item in value.items():
        if name in named or any(re.search(pattern, name) for pattern in patterns):
            continue
        if given is False:
            near = did_you_mean(name, named)
            yield f"{place_of((*path, name))} must not be there: {near}there is {listed(named) or 'nothing'}"
        else:
            yield from run.violations(given, item, (*path, name))


def _names(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, dict):
        for name in value:
            if not run.fits(given, name):
                yield f"{place_of(path)} must not have a property of the name {name!r:.60}"


def _prefix(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, list):
        for index, (schema, item) in enumerate(zip(given, value, strict=False)):
            yield from run.violations(schema, item, (*path, index))


def _items(run: Run, given: Any, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, list):
        first = len(schema.get("prefixItems", ()))
        for index, item in enumerate(value[first:], first):
            yield from run.violations(given, item, (*path, index))


def _unique(_run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if given and isinstance(value, list) and len({*map(canonical, value)}) != len(value):
        yield f"{place_of(path)} must have no item twice"


def _contains(run: Run, given: Any, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, list):
        count = sum(run.fits(given, item) for item in value)
        least, most = schema.get("minContains", 1), schema.get("maxContains", math.inf)
        if not least <= count <= most:
            yield f"{place_of(path)} must have from {least} to {most} items of the kind that contains says, not {count}"


def _all_of(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    for schema in given:
        yield from run.violations(schema, value, path)


def _any_of(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if not any(run.fits(schema, value) for schema in given):
        yield from _of_no_alternative(run, given, value, path)


def _of_no_alternative(run: Run, given: Sequence[Any], value: Any, path: Path) -> Iterator[str]:
    """Yield the violations of the alternative that is meant: the only one of the value's type."""
    meant = [one for one in map(run.followed, given) if isinstance(one, dict) and _has_type(run, one, value)]
    if len(meant) > 1:
        meant = [one for one in meant if _has_marks(run, one, value)]
    if len(meant) == 1:
        yield from run.violations(meant[0], value, path)
    else:
        yield f"{place_of(path)} must fit one of {len(given)} alternatives, not {shown(value)}"


def _has_type(run: Run, schema: Mapping[str, Any], value: Any) -> bool:
    return next(_type(run, schema["type"], schema, value, ()), None) is None if "type" in schema else True


def _has_marks(run: Run, schema: Mapping[str, Any], value: Any) -> bool:
    """Return whether an object has the properties that tell alternatives apart: those with one value, or a few."""
    marks = [
        (name, each)
        for name, each in schema.get("properties", {}).items()
        if isinstance(each, dict) and not each.keys().isdisjoint(("const", "enum"))
    ]
    return isinstance(value, dict) and all(
        name in value and run.fits(each, value[name]) for name, each in marks
    )


def _one_of(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    count = sum(run.fits(schema, value) for schema in given)
    if not count:
        yield from _of_no_alternative(run, given, value, path)
    elif count > 1:
        yield f"{place_of(path)} must fit exactly one of {len(given)} alternatives, not {count}"


def _not(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    if run.fits(given, value):
        yield f"{place_of(path)} must not be {shown(value)}"


def _if(run: Run, given: Any, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    branch = schema.get("then" if run.fits(given, value) else "else")
    if branch is not None:
        yield from run.violations(branch, value, path)


def _ref(run: Run, given: Any, _schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[str]:
    yield from run.violations(run.referred(given), value, path)


CHECKS: Mapping[str, Check] = {
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
"""The check of each keyword."""
