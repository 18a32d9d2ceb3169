"""Values of JSON as values of Python's types, and back."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import json
import re
import typing
from typing import Any

import typing_extensions

from nupic_client._annotations import (
    LISTS,
    LITERALS,
    OBJECTS,
    UNIONS,
    adapter_of,
    hints_of,
    keys_of,
    literal_value,
    unwrapped,
)

__all__ = ["json_value", "read_json"]


def json_value(value: Any) -> Any:
    """Return a value as JSON holds it; NotImplemented for what it cannot hold."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return NotImplemented


def read_json(annotation: Any, value: Any, place: str) -> Any:
    """Return a value of JSON as a value of a type.

    Args:
        annotation: the type.
        value: what JSON has.
        place: says in errors where it stands.

    Raises:
        ValueError: it is none.
    """
    annotation, extras = unwrapped(annotation)
    adapter = adapter_of(annotation, extras)
    if adapter is not None:
        return adapter.validate_python(value)
    if annotation is None or annotation is Any:  # for Python 3.10 the second is no class
        annotation = object if annotation is Any else type(None)
    origin, arguments = typing_extensions.get_origin(annotation), typing_extensions.get_args(annotation)
    if origin in UNIONS:
        return _read_union(arguments, value, place)
    if origin in LITERALS:
        found = [
            each
            for each in arguments
            if literal_value(each) == value and type(literal_value(each)) is type(value)
        ]
        if not found:
            raise ValueError(
                f"{place} must be one of {[literal_value(each) for each in arguments]}, not {value!r}"
            )
        return found[0]
    kind = origin or annotation
    if kind is tuple:
        return _read_tuple(arguments, value, place)
    if kind in LISTS:
        items = _a(list, value, place)
        each = arguments[0] if arguments else Any
        read = [read_json(each, item, f"{place}[{index}]") for index, item in enumerate(items)]
        return (
            kind(read)
            if kind in {set, frozenset}
            else set(read)
            if issubclass(kind, collections.abc.Set)
            else read
        )
    if kind in OBJECTS:
        each = arguments[1] if arguments else Any
        return {key: read_json(each, item, f"{place}.{key}") for key, item in _a(dict, value, place).items()}
    return _read_class(kind, value, place) if isinstance(kind, type) else value


def _read_union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    errors = []
    exact = [kind for kind in kinds if kind is type(value)]
    for kind in (*exact, *kinds):
        try:
            return read_json(kind, value, place)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError("; or ".join(dict.fromkeys(errors)))


def _read_tuple(kinds: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    items = _a(list, value, place)
    if not kinds:
        return tuple(items)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(items)
    if len(kinds) != len(items):
        raise ValueError(f"{place} must have {len(kinds)} items, not {len(items)}")
    return tuple(
        read_json(kind, item, f"{place}[{index}]")
        for index, (kind, item) in enumerate(zip(kinds, items, strict=True))
    )


_WORDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def _a(kind: type, value: Any, place: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{place} must be {_WORDS[kind]}, not {value!r}")
    return value


def _read_class(kind: type, value: Any, place: str) -> Any:
    if issubclass(kind, enum.Enum):
        for member in kind:
            if member.value == value:
                return member
        raise ValueError(f"{place} must be one of {[member.value for member in kind]}, not {value!r}")
    if callable(getattr(kind, "model_validate", None)):
        # As JSON: strict models take its dates, sets and enums from there only.
        return kind.model_validate_json(json.dumps(value))  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(kind):
        names = {field.name for field in dataclasses.fields(kind) if field.init}
        given = _read_fields(kind, names, value, place)
        try:
            return kind(**given)
        except TypeError as error:
            raise ValueError(f"{place}: {error}") from error
    if typing_extensions.is_typeddict(kind):
        keys = keys_of(kind, place)
        given = _read_fields(kind, keys, value, place)
        for name, required in keys.items():
            if required and name not in given:
                raise ValueError(f"{place} must have {name!r}")
        return given
    return value if kind is object else _read_scalar(kind, value, place)


def _read_fields(kind: type, names: typing.Iterable[str], value: Any, place: str) -> dict[str, Any]:
    known = set(names)
    hints = hints_of(kind, place)
    given = _a(dict, value, place)
    unknown = next((key for key in given if key not in known), None)
    if unknown is not None:
        raise ValueError(f"{place} must have {sorted(known)}, not {unknown!r}")
    return {key: read_json(hints[key], item, f"{place}.{key}") for key, item in given.items()}


def _read_scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is type(None):
        if value is not None:
            raise ValueError(f"{place} must be null, not {value!r}")
        return None
    if kind is bool:
        return _a(bool, value, place)
    if issubclass(kind, (int, float, decimal.Decimal)):
        return _read_number(kind, value, place)
    text = _a(str, value, place)
    try:
        if issubclass(kind, (dt.date, dt.time)):
            return kind.fromisoformat(_as_python_reads(text))
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _as_python_reads(text: str) -> str:
    """Return a time of RFC 3339 as Python before 3.11 reads it: no Z, and 3 or 6 digits of a second."""
    text = f"{text[:-1]}+00:00" if text[-1:] in {"Z", "z"} else text
    return re.sub(r"\.(\d+)", lambda digits: f".{digits[1][:6]:0<6}", text)


def _read_number(kind: Any, value: Any, place: str) -> Any:
    if issubclass(kind, int):
        # A model may write 3.0 for 3.
        whole = isinstance(value, float) and value.is_integer()
        return kind(_a(int, int(value) if whole else value, place))
    if not isinstance(value, float):
        _a(int, value, place)
    try:
        return kind(repr(value)) if issubclass(kind, decimal.Decimal) else kind(value)
    except OverflowError as error:
        raise ValueError(f"{place}: {error}") from error
