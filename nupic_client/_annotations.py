"""Type annotations as Python writes them: what stands around a type, what it is of, and the fields of classes."""

from __future__ import annotations

import collections.abc
import enum
import functools
import operator
import sys
import types
import typing
from typing import Any

import typing_extensions

from nupic_client.errors import ConfigurationError

__all__ = [
    "LISTS",
    "LITERALS",
    "OBJECTS",
    "UNIONS",
    "adapter_of",
    "hints_of",
    "keys_of",
    "literal_value",
    "unwrapped",
]

LISTS = (
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
"""The types whose values are arrays in JSON, tuples besides."""
OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
"""Those whose values are objects, classes with fields besides."""
UNIONS = (typing.Union, types.UnionType)
LITERALS = {typing.Literal, typing_extensions.Literal}
# The names of typing_extensions are those of typing where that has them with all that they can.
_REQUIRED = {typing_extensions.Required, getattr(typing, "Required", typing_extensions.Required)}
_NOT_REQUIRED = {typing_extensions.NotRequired, getattr(typing, "NotRequired", typing_extensions.NotRequired)}
_READ_ONLY = {typing_extensions.ReadOnly, getattr(typing, "ReadOnly", typing_extensions.ReadOnly)}
_WRAPPERS = {*_REQUIRED, *_NOT_REQUIRED, *_READ_ONLY, typing.Final}


def unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
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


def adapter_of(annotation: Any, extras: list[Any]) -> Any:
    """Return pydantic's adapter of a type with constraints of pydantic or annotated_types; None without any."""
    pydantic = sys.modules.get("pydantic")
    known = [it for it in extras if type(it).__module__.partition(".")[0] in {"pydantic", "annotated_types"}]
    if not known or pydantic is None:
        return None
    kind: Any = annotation
    for extra in known:
        kind = typing.Annotated[kind, extra]
    return pydantic.TypeAdapter(kind)


def literal_value(value: Any) -> Any:
    """Return what JSON has for a value of ``Literal``."""
    return value.value if isinstance(value, enum.Enum) else value


def keys_of(kind: Any, place: str, parameter: str = "") -> dict[str, bool]:
    """Return the keys of a TypedDict, and whether each must be there. Arguments as of `hints_of`."""
    keys = {}
    for name, annotation in hints_of(kind, place, parameter).items():
        origin = typing_extensions.get_origin(annotation)
        # Annotations that are texts hide the marks from the class itself.
        marked = origin in _REQUIRED or origin in _NOT_REQUIRED
        keys[name] = origin in _REQUIRED if marked else name in kind.__required_keys__
    return keys


def hints_of(kind: type, place: str, parameter: str = "") -> dict[str, Any]:
    """Return the annotations of the fields of a class.

    Args:
        kind: the class.
        place: says in errors whose type it is.
        parameter: the argument that it is from, for errors.

    Raises:
        ConfigurationError: they name what does not exist.
    """
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
