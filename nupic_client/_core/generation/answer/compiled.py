"""An answer format made ready: its anchors, and what reads its calls."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from nupic_client._core.generation.answer.anchors import Anchor, Literals, Pattern
from nupic_client._core.generation.answer.calls import CallLog
from nupic_client._core.generation.answer.contents import content_reader, is_dialect
from nupic_client._core.generation.answer.json_calls import JsonCalls
from nupic_client._core.generation.answer.reading import CallReader
from nupic_client._core.generation.answer.recipe import Recipe, recipe_of
from nupic_client._core.generation.answer.text_calls import ListedCalls, TextCalls
from nupic_client.prompts.answer import AnswerField, AnswerFormat
from nupic_client.tools import Tool

__all__ = ["CompiledFormat", "Kind", "Part", "compiled"]


class Kind(enum.Enum):
    """What a part of an answer is."""

    TEXT = enum.auto()
    REASONING = enum.auto()
    CALLS = enum.auto()


_KINDS = {
    "content": Kind.TEXT,
    "thinking": Kind.REASONING,
    "reasoning_content": Kind.REASONING,
    "tool_calls": Kind.CALLS,
}
_BLANK = r"[ \t\r\n]*"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A field of a format, made ready.

    Args:
        field: the field.
        kind: what it is.
        open: the anchor that begins it; None for the rest.
        close: the anchor that ends it, if there is one.
        at_start: whether it begins only where no text came before.
        strips: whether blanks at its anchors belong to them.
        recipe: how a call is made of its content.
        closing: the anchor behind a JSON value.
        next_value: what is between two JSON values.
    """

    field: AnswerField
    kind: Kind
    open: Anchor | None
    close: Anchor | None
    at_start: bool
    strips: bool
    recipe: Recipe | None = None
    closing: Pattern | None = None
    next_value: Pattern | None = None

    def reader(
        self, groups: Mapping[str, str], tools: Mapping[str, Tool], log: CallLog, *, anchored: bool
    ) -> CallReader:
        """Return what reads the calls of this part.

        Args:
            groups: the named groups of the anchor that began it.
            tools: the tools of the request by name.
            log: takes the calls.
            anchored: whether that anchor was more than nothing.
        """
        recipe = recipe_of(self.field) if self.recipe is None else self.recipe
        if self.reads_json:
            return JsonCalls(recipe, groups, log, anchored=anchored)
        read = content_reader(self.field, recipe, tools)
        if self.field.content == "python-call-list" and self.close is None:
            return ListedCalls(read, log)
        return TextCalls(self.close, read, groups, log)

    @property
    def reads_json(self) -> bool:
        """Whether its calls are plain JSON."""
        return self.field.content == "json" and not is_dialect(self.field)


@dataclass(frozen=True, slots=True, eq=False)
class CompiledFormat:
    """A format made ready.

    Args:
        parts: its parts but the rest.
        rest: the rest.
        ignored: the strings that mean nothing by themselves, if there are some.
    """

    parts: tuple[Part, ...]
    rest: Part
    ignored: Anchor | None


@lru_cache(maxsize=64)
def compiled(answer_format: AnswerFormat, *, with_tools: bool) -> CompiledFormat:
    """Make a format ready.

    Args:
        answer_format: the format.
        with_tools: whether calls are read; else they are text.
    """
    parts = []
    rest = Part(AnswerField(name="content"), Kind.TEXT, None, None, at_start=False, strips=True)
    ignored = list(answer_format.ignored)
    for field in answer_format.fields:
        kind = _KINDS.get(field.name)
        if kind is None or (kind is Kind.CALLS and not with_tools):
            continue
        ignored += field.around
        if field.is_rest and kind is not Kind.CALLS:
            rest = _part(field, kind)
        else:
            parts.append(_part(field, kind))
    return CompiledFormat(tuple(parts), rest, Literals(ignored) if ignored else None)


def _part(field: AnswerField, kind: Kind) -> Part:
    source = field.open_pattern
    at_start = field.is_rest and kind is Kind.CALLS
    if at_start:
        source = _BLANK
    elif source is not None and source.startswith(r"\A"):
        at_start, source = True, source.removeprefix(r"\A")
    is_call = kind is Kind.CALLS
    recipe = recipe_of(field) if is_call else None
    reads_json = is_call and field.content == "json" and not is_dialect(field)
    several = reads_json and recipe is not None and recipe.in_content
    return Part(
        field,
        kind,
        open=_anchor(field.open, source),
        close=_anchor(field.close, field.close_pattern),
        at_start=at_start,
        strips=bool(field.content_args.get("strip", True)),
        recipe=recipe,
        closing=_closing(field) if reads_json else None,
        next_value=Pattern(rf'{_BLANK}[;,]?{_BLANK}(?=\{{\s*")') if several else None,
    )


def _anchor(literals: tuple[str, ...], pattern: str | None) -> Anchor | None:
    if pattern is not None:
        return Pattern(pattern)
    return Literals(literals) if literals else None


def _closing(field: AnswerField) -> Pattern | None:
    if field.close_pattern is not None:
        return Pattern(f"{_BLANK}(?:{field.close_pattern})")
    if not field.close:
        return None
    strings = "|".join(_escaped(text) for text in sorted(field.close, key=len, reverse=True))
    return Pattern(f"{_BLANK}(?:{strings})")


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in r"\.^$*+?{}[]|()" else sign for sign in text)
