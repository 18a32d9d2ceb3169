"""Pickling and copying of frozen dataclasses that hold read-only views of mappings, which cannot be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

__all__ = ["reduce_frozen"]


def reduce_frozen(value: Any) -> tuple[Any, ...]:
    """Return what ``__reduce__`` returns, for ``__reduce__ = reduce_frozen`` in a frozen dataclass."""
    values = {field.name: getattr(value, field.name) for field in fields(value)}
    views = {name: dict(each) for name, each in values.items() if isinstance(each, MappingProxyType)}
    return _restored, (type(value), {**values, **views}, tuple(views))


def _restored(kind: type[Any], values: Mapping[str, Any], views: tuple[str, ...]) -> Any:
    return kind(**{**values, **{name: MappingProxyType(values[name]) for name in views}})
