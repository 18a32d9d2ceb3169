"""Python's types as JSON Schemas."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
from collections.abc import Mapping
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
from nupic_client.errors import ConfigurationError

__all__ = ["Definitions", "schema_of"]

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
    annotation, extras = unwrapped(annotation)
    described = _description(extras)
    schema = _constrained(annotation, extras, definitions) or _plain_schema(annotation, definitions, place)
    return {**schema, "description": described} if described else schema


def _description(extras: list[Any]) -> str:
    for extra in extras:
        for text in (extra, getattr(extra, "documentation", None), getattr(extra, "description", None)):
            if isinstance(text, str) and text:
                return text
    return ""


def _constrained(annotation: Any, extras: list[Any], definitions: Definitions) -> dict[str, Any] | None:
    """Return the schema of a type with constraints of pydantic or annotated_types, as pydantic makes it."""
    adapter = adapter_of(annotation, extras)
    if adapter is None:
        return None
    schema = definitions.adopt(adapter.json_schema())
    return {key: value for key, value in schema.items() if key not in {"title", "description"}}


def _plain_schema(annotation: Any, definitions: Definitions, place: str) -> dict[str, Any]:
    if isinstance(annotation, collections.abc.Hashable) and annotation in _SIMPLE:
        return dict(_SIMPLE[annotation])
    origin, arguments = typing_extensions.get_origin(annotation), typing_extensions.get_args(annotation)
    if origin in UNIONS:
        return {"anyOf": [schema_of(each, definitions, place) for each in arguments]}
    if origin in LITERALS:
        return _choice([literal_value(each) for each in arguments], definitions, place)
    kind = origin or annotation
    if kind is tuple:
        return _tuple_schema(arguments, definitions, place)
    if kind in LISTS:
        return {"type": "array", "items": schema_of(arguments[0], definitions, place) if arguments else {}}
    if kind in OBJECTS:
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
    if unwrapped(arguments[0])[0] not in {str, Any}:
        raise _no_form(place, arguments[0], definitions, "the keys of a JSON object are strings")
    return {"type": "object", "additionalProperties": schema_of(arguments[1], definitions, place) or True}


def _tuple_schema(arguments: tuple[Any, ...], definitions: Definitions, place: str) -> dict[str, Any]:
    if not arguments:
        return {"type": "array", "items": {}}
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": schema_of(arguments[0], definitions, place)}
    items = [schema_of(each, definitions, place) for each in arguments]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


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
        fields = keys_of(kind, place, definitions.parameter)
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


def _object_schema(
    kind: type, fields: Mapping[str, bool], definitions: Definitions, place: str
) -> dict[str, Any]:
    hints = hints_of(kind, place, definitions.parameter)
    properties = {name: schema_of(hints[name], definitions, f"{name!r} in {place}") for name in fields}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    required = [name for name, needed in fields.items() if needed]
    if required:
        schema["required"] = required
    if definitions.closed:
        schema["additionalProperties"] = False
    return schema


def _no_form(place: str, kind: Any, definitions: Definitions, why: str = "") -> ConfigurationError:
    name = getattr(kind, "__name__", None) if isinstance(kind, type) else None
    return ConfigurationError(
        f"{place} must have a type that JSON can hold, not {name or kind}{f': {why}' if why else ''}."
        " Take str, int, float, bool, lists, dictionaries, Literal, enumerations or dataclasses",
        parameter=definitions.parameter,
    )
