"""Python's types as JSON Schemas, and values of JSON as values of those types."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import json
import operator
import pathlib
import re
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

import typing_extensions

from nupic_client.errors import ConfigurationError

__all__ = ["Definitions", "json_value", "read_json", "schema_of"]

_SIMPLE: Mapping[Any, Mapping[str, Any]] = {
    Any: {},
    object: {},
    type(None): {"type": "null"},
    None: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    decimal.Decimal: {"type": "number"},
    str: {"type": "string"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"},
    pathlib.Path: {"type": "string"},
    pathlib.PurePath: {"type": "string"},
}
_LISTS = (
    list,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.Set,
    collections.abc.MutableSet,
)
_OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_UNIONS = (typing.Union, types.UnionType)
_WRAPPERS = {
    typing_extensions.Required,
    typing_extensions.NotRequired,
    typing_extensions.ReadOnly,
    typing.Final,
}
_REQUIRED = {typing_extensions.Required, getattr(typing, "Required", typing_extensions.Required)}
_NOT_REQUIRED = {typing_extensions.NotRequired, getattr(typing, "NotRequired", typing_extensions.NotRequired)}
_WRAPPERS |= {
    getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly") if hasattr(typing, name)
}


class Definitions:
    """The schemas of classes, which a schema names instead of repeating them: classes may contain themselves.

    Args:
        parameter: the argument that the types are from, for errors.
        closed: whether the schemas of dataclasses and TypedDicts say that there is nothing besides their fields.
    """

    def __init__(self, parameter: str = "tools", *, closed: bool = False) -> None:
        self.parameter = parameter
        self.closed = closed
        self._schemas: dict[str, Any] = {}
        self._names: dict[Any, str] = {}

    def added_to(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a schema with these definitions; unchanged where there are none."""
        reference = schema.get("$ref")
        if reference is not None and json.dumps([schema, self._schemas]).count(json.dumps(reference)) == 1:
            schema = self._schemas.pop(reference.rpartition("/")[2])  # nothing else refers to it
        return {**schema, "$defs": self._schemas} if self._schemas else schema

    def reference(self, kind: type, make: collections.abc.Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the reference to the schema of a class, which is made at its first use."""
        if kind not in self._names:
            name, number = kind.__name__, 2
            while name in self._schemas:
                name, number = f"{kind.__name__}{number}", number + 1
            self._names[kind] = name
            self._schemas[name] = {}  # the name is taken
            self._schemas[name] = make()
        return {"$ref": f"#/$defs/{self._names[kind]}"}

    def adopt(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a schema that another library made, with its definitions moved to these."""
        schema = dict(schema)
        moved = schema.pop("$defs", {})
        renamed = {}
        for name, definition in moved.items():
            new, number = name, 2
            while new in self._schemas and self._schemas[new] != definition:
                new, number = f"{name}{number}", number + 1
            renamed[f"#/$defs/{name}"] = f"#/$defs/{new}"
            self._schemas[new] = definition
        for old, new in renamed.items():
            name = new.removeprefix("#/$defs/")
            if old == new:
                continue
            self._schemas[name] = _repointed(self._schemas[name], renamed)
        result: dict[str, Any] = _repointed(schema, renamed)
        return result


def _repointed(schema: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(schema, dict):
        return {
            key: renamed.get(value, value)
            if key == "$ref" and isinstance(value, str)
            else _repointed(value, renamed)
            for key, value in schema.items()
        }
    return [_repointed(each, renamed) for each in schema] if isinstance(schema, list) else schema


def schema_of(annotation: Any, definitions: Definitions, place: str) -> dict[str, Any]:
    """Return the JSON Schema of a type.

    Args:
        annotation: the type.
        definitions: where the schemas of classes go.
        place: says in errors whose type it is.

    Raises:
        ConfigurationError: it has no form in JSON.
    """
    annotation, extras = _unwrapped(annotation)
    described = _description(extras)
    schema = _constrained(annotation, extras, definitions) or _plain_schema(annotation, definitions, place)
    return {**schema, "description": described} if described else schema


def _unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
    """Return a type without what says nothing about its values, and the extras of ``Annotated``."""
    extras: list[Any] = []
    while True:
        origin = typing_extensions.get_origin(annotation)
        if origin is typing.Annotated:
            extras = [*annotation.__metadata__, *extras]
            annotation = annotation.__origin__
        elif origin in _WRAPPERS:
            annotation = typing_extensions.get_args(annotation)[0]
        elif isinstance(annotation, typing.TypeVar):
            annotation = annotation.__bound__ or Any
        elif hasattr(annotation, "__supertype__"):  # NewType
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation, extras


def _description(extras: list[Any]) -> str:
    for extra in extras:
        for text in (extra, getattr(extra, "documentation", None), getattr(extra, "description", None)):
            if isinstance(text, str) and text:
                return text
    return ""


def _constrained(annotation: Any, extras: list[Any], definitions: Definitions) -> dict[str, Any] | None:
    """Return the schema of a type with constraints of pydantic or annotated_types, as pydantic makes it."""
    adapter = _adapter(annotation, extras)
    if adapter is None:
        return None
    schema = definitions.adopt(adapter.json_schema())
    return {key: value for key, value in schema.items() if key not in {"title", "description"}}


def _adapter(annotation: Any, extras: list[Any]) -> Any:
    pydantic = sys.modules.get("pydantic")
    known = [it for it in extras if type(it).__module__.partition(".")[0] in {"pydantic", "annotated_types"}]
    if not known or pydantic is None:
        return None
    kind: Any = annotation
    for extra in known:
        kind = typing.Annotated[kind, extra]
    return pydantic.TypeAdapter(kind)


def _plain_schema(annotation: Any, definitions: Definitions, place: str) -> dict[str, Any]:
    if isinstance(annotation, collections.abc.Hashable) and annotation in _SIMPLE:
        return dict(_SIMPLE[annotation])
    origin, arguments = typing_extensions.get_origin(annotation), typing_extensions.get_args(annotation)
    if origin in _UNIONS:
        return {"anyOf": [schema_of(each, definitions, place) for each in arguments]}
    if origin in {typing.Literal, typing_extensions.Literal}:
        return _choice([_literal(each) for each in arguments], definitions, place)
    kind = origin or annotation
    if kind is tuple:
        return _tuple_schema(arguments, definitions, place)
    if kind in _LISTS:
        return {"type": "array", "items": schema_of(arguments[0], definitions, place) if arguments else {}}
    if kind in _OBJECTS:
        return _mapping_schema(arguments, definitions, place)
    if isinstance(kind, type) and not (
        arguments and _has_fields(kind)
    ):  # what a generic one is of would be lost
        return _class_schema(kind, definitions, place)
    raise _no_form(place, annotation, definitions)


def _has_fields(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or typing_extensions.is_typeddict(kind)


def _mapping_schema(arguments: tuple[Any, ...], definitions: Definitions, place: str) -> dict[str, Any]:
    if not arguments:
        return {"type": "object"}
    if _unwrapped(arguments[0])[0] not in {str, Any}:
        raise _no_form(place, arguments[0], definitions, "the keys of a JSON object are strings")
    return {"type": "object", "additionalProperties": schema_of(arguments[1], definitions, place) or True}


def _tuple_schema(arguments: tuple[Any, ...], definitions: Definitions, place: str) -> dict[str, Any]:
    if not arguments:
        return {"type": "array", "items": {}}
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": schema_of(arguments[0], definitions, place)}
    items = [schema_of(each, definitions, place) for each in arguments]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _literal(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def _choice(values: list[Any], definitions: Definitions, place: str) -> dict[str, Any]:
    kinds = {type(value) for value in values}
    wrong = next((value for value in values if type(value) not in {str, int, bool, float, type(None)}), None)
    if wrong is not None:
        raise _no_form(place, type(wrong), definitions, f"{wrong!r} is one of its values")
    if len(kinds) == 1:
        return {**_SIMPLE[kinds.pop()], "enum": values}
    return {"enum": values}


def _class_schema(kind: type, definitions: Definitions, place: str) -> dict[str, Any]:
    if (kind.__module__, kind.__name__) == ("uuid", "UUID"):  # importing it takes longer than all the rest
        return {"type": "string", "format": "uuid"}
    if issubclass(kind, enum.Enum):
        return _choice([member.value for member in kind], definitions, place)
    if callable(getattr(kind, "model_json_schema", None)):
        return definitions.adopt(_pydantic_schema(kind, definitions, place))
    if dataclasses.is_dataclass(kind):
        fields = {
            field.name: field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            for field in dataclasses.fields(kind)
            if field.init
        }
        return definitions.reference(kind, lambda: _object_schema(kind, fields, definitions, place))
    if typing_extensions.is_typeddict(kind):
        fields = _keys_of(kind, place, definitions.parameter)
        return definitions.reference(kind, lambda: _object_schema(kind, fields, definitions, place))
    for base in (bool, int, float, str, dt.datetime, dt.date, pathlib.PurePath):
        if issubclass(kind, base):
            return dict(_SIMPLE[base])
    raise _no_form(place, kind, definitions)


def _pydantic_schema(kind: Any, definitions: Definitions, place: str) -> dict[str, Any]:
    try:
        schema: dict[str, Any] = kind.model_json_schema()
    except Exception as error:  # pydantic has several
        raise ConfigurationError(
            f"{place}: pydantic has no JSON Schema for {kind.__name__}: {error}",
            parameter=definitions.parameter,
        ) from error
    return {key: value for key, value in schema.items() if key != "title"}


def _keys_of(kind: Any, place: str, parameter: str = "") -> dict[str, bool]:
    """Return the keys of a TypedDict, and whether each must be there."""
    keys = {}
    for name, annotation in _hints_of(kind, place, parameter).items():
        origin = typing_extensions.get_origin(annotation)
        # Annotations that are texts hide the marks from the class itself.
        marked = origin in _REQUIRED or origin in _NOT_REQUIRED
        keys[name] = origin in _REQUIRED if marked else name in kind.__required_keys__
    return keys


def _object_schema(
    kind: type, fields: Mapping[str, bool], definitions: Definitions, place: str
) -> dict[str, Any]:
    hints = _hints_of(kind, place, definitions.parameter)
    properties = {name: schema_of(hints[name], definitions, f"{name!r} in {place}") for name in fields}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    required = [name for name, needed in fields.items() if needed]
    if required:
        schema["required"] = required
    if definitions.closed:
        schema["additionalProperties"] = False
    return schema


def _hints_of(kind: type, place: str, parameter: str = "") -> dict[str, Any]:
    try:
        hints = typing_extensions.get_type_hints(kind, include_extras=True)
        return {name: _resolved(hint, kind) for name, hint in hints.items()}
    except Exception as error:
        raise ConfigurationError(
            f"the types of {kind.__name__}, of {place}, cannot be read: {error}", parameter=parameter
        ) from error


def _resolved(hint: Any, kind: type) -> Any:
    """Return an annotation without names as texts: Python 3.10 leaves those in ``list["Tree"]`` as they are."""
    arguments = typing_extensions.get_args(hint)
    if isinstance(hint, types.GenericAlias) and any(
        isinstance(each, (str, types.GenericAlias)) for each in arguments
    ):
        return hint.__origin__[tuple(_resolved(each, kind) for each in arguments)]  # type: ignore[index]
    if isinstance(hint, str):
        holder = type(kind.__name__, (), {"__annotations__": {"it": hint}, "__module__": kind.__module__})
        return typing_extensions.get_type_hints(holder, include_extras=True)["it"]
    if isinstance(hint, types.UnionType):
        return functools.reduce(operator.or_, (_resolved(each, kind) for each in arguments))
    return hint


def _no_form(place: str, kind: Any, definitions: Definitions, why: str = "") -> ConfigurationError:
    name = getattr(kind, "__name__", None) if isinstance(kind, type) else None
    return ConfigurationError(
        f"{place} must have a type that JSON can hold, not {name or kind}{f': {why}' if why else ''}."
        " Take str, int, float, bool, lists, dictionaries, Literal, enumerations or dataclasses",
        parameter=definitions.parameter,
    )


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
    annotation, extras = _unwrapped(annotation)
    adapter = _adapter(annotation, extras)
    if adapter is not None:
        return adapter.validate_python(value)
    if annotation is None or annotation is Any:  # for Python 3.10 the second is no class
        annotation = object if annotation is Any else type(None)
    origin, arguments = typing_extensions.get_origin(annotation), typing_extensions.get_args(annotation)
    if origin in _UNIONS:
        return _read_union(arguments, value, place)
    if origin in {typing.Literal, typing_extensions.Literal}:
        found = [
            each for each in arguments if _literal(each) == value and type(_literal(each)) is type(value)
        ]
        if not found:
            raise ValueError(
                f"{place} must be one of {[_literal(each) for each in arguments]}, not {value!r}"
            )
        return found[0]
    kind = origin or annotation
    if kind is tuple:
        return _read_tuple(arguments, value, place)
    if kind in _LISTS:
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
    if kind in _OBJECTS:
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
        keys = _keys_of(kind, place)
        given = _read_fields(kind, keys, value, place)
        for name, required in keys.items():
            if required and name not in given:
                raise ValueError(f"{place} must have {name!r}")
        return given
    return value if kind is object else _read_scalar(kind, value, place)


def _read_fields(kind: type, names: typing.Iterable[str], value: Any, place: str) -> dict[str, Any]:
    known = set(names)
    hints = _hints_of(kind, place)
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
