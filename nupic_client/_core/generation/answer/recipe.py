"""Where the name and the arguments of a call stand in the content of a field, as the field's ``transform`` says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nupic_client.prompts.answer import AnswerField

__all__ = ["Path", "Recipe", "Source", "recipe_of"]

Path: TypeAlias = tuple[str, ...]
"""The keys that lead to a value; none for the whole content."""

_PLACEHOLDER = re.compile(r"\{(\w+(?:\.\w+)*)\}")
_ARGUMENTS = ("arguments", "parameters")


@dataclass(frozen=True, slots=True)
class Source:
    """Where one thing comes from.

    Args:
        paths: the paths in the content where it may be.
        group: the named group of an anchor.
        constant: a fixed text.
    """

    paths: tuple[Path, ...] = ()
    group: str = ""
    constant: str = ""

    def outside(self, groups: Mapping[str, str]) -> str | None:
        """Return what is known without the content.

        Args:
            groups: the named groups of the anchors.
        """
        return groups.get(self.group) if self.group else self.constant or None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a call is made of a content and of named groups."""

    name: Source
    arguments: Source
    id: Source

    @property
    def in_content(self) -> bool:
        """Whether the content tells the call's name; else it is the arguments alone."""
        return () not in self.arguments.paths


_DEFAULT = Recipe(
    Source((("name",), ("function", "name"))),
    Source(tuple((*front, key) for front in ((), ("function",)) for key in _ARGUMENTS)),
    Source((("id",), ("tool_call_id",))),
)


def recipe_of(field: AnswerField) -> Recipe:
    """Read the transform of a field.

    Args:
        field: a field for tool calls.

    Returns:
        Its recipe. What is not to be understood counts as absent: such content is no call.
    """
    transform = field.transform
    if not isinstance(transform, Mapping):
        return _DEFAULT
    groups = set()
    for pattern in (field.open_pattern, field.close_pattern):
        groups |= set(re.compile(pattern).groupindex) if pattern else set()
    function = transform.get("function", transform)
    identity = _source(transform.get("id", transform.get("tool_call_id")), groups, field)
    if isinstance(function, str):
        base = _source(function, groups, field)
        if base.paths == ((),):  # the whole content, which some models wrap in one more object
            return Recipe(
                _DEFAULT.name, _DEFAULT.arguments, identity if identity != Source() else _DEFAULT.id
            )
        fronts = base.paths or ((),)
        return Recipe(
            Source(tuple((*front, "name") for front in fronts)),
            Source(tuple((*front, key) for front in fronts for key in _ARGUMENTS)),
            identity if identity != Source() else _DEFAULT.id,
        )
    if not isinstance(function, Mapping):
        return _DEFAULT
    return Recipe(
        _source(function.get("name"), groups, field),
        _source(function.get("arguments"), groups, field),
        identity if identity != Source() else _source(function.get("id"), groups, field),
    )


def _source(value: Any, groups: set[str], field: AnswerField) -> Source:
    if not isinstance(value, str):
        return Source()
    found = _PLACEHOLDER.fullmatch(value)
    if found is None:
        return Source(constant=value)
    root, *keys = found[1].split(".")
    if root in groups and not keys:
        return Source(group=root)
    if field.transform_each:
        return Source(((root, *keys),))
    return Source((tuple(keys),)) if root == "content" else Source()
