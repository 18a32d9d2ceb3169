"""How a family writes tools, as data: the list of those on offer, the model's calls, and their results."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nupic_client.prompts.turn import Rule, Turn

if TYPE_CHECKING:
    from nupic_client.prompts.builder import PromptBuilder
    from nupic_client.prompts.family import Family, Job
    from nupic_client.tools import Tool, ToolCall

__all__ = ["CallFormat", "ListPlace", "ResultFormat", "ToolFormat", "ToolList", "ToolScript"]

ToolScript: TypeAlias = "Callable[[Family, Job, PromptBuilder], None]"
"""A family's own renderer of conversations with tools."""


class ListPlace(enum.Enum):
    """Where the tools on offer are listed."""

    SYSTEM = "the end of the leading system turn, which is always printed"
    HEAD = "the head of the leading system turn, which is always printed"
    BEFORE = "a turn of its own before the system turn"
    AFTER = "a turn of its own after the system turn"
    FIRST = "the head of the first turn after the system one, which becomes a user turn"
    LAST_USER = "before the last user turn"
    LAST_TEXT = "before the last user turn, and before each other with the same text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolList:
    """How the tools on offer are listed.

    Args:
        place: where.
        before: the text before the tools.
        after: the text after them.
        write: how they are written.
        gap: the text between a system message and ``before``, where both share a turn.
        system: the turn of the leading system message while tools are on offer, where it differs.
        default_system: the default system prompt while tools are on offer, where it differs.
        late_system: the turn of any other system message while tools are on offer, where it differs.
        closing: the text after all turns, before the answer is opened.
    """

    place: ListPlace
    before: str = ""
    after: str = ""
    write: Callable[[Sequence[Tool]], str]
    gap: str = ""
    system: Turn | None = None
    default_system: str | None = None
    late_system: Turn | Rule | None = None
    closing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFormat:
    """How an assistant message with calls is written.

    Args:
        start: what opens the turn.
        content: the text around the content; None: content beside calls is left out, as the official template does.
        before: the text before the first call.
        item: one call, with ``$name``, ``$arguments`` and the other fields of `nupic_client.prompts.tool_text`.
        between: the text between two calls.
        after: the text after the last call.
        write: how all calls are written, where that is more than ``item``.
        end: what closes the turn.
        most: how many calls a message may have; None: any number.
        id_length: the length that ids must have; None: any.
        plain: whether messages without calls are written in the same way.
    """

    start: str = ""
    content: Turn | None = None
    before: str = ""
    item: str = ""
    between: str = ""
    after: str = ""
    write: Callable[[Sequence[ToolCall]], str] | None = None
    end: str
    most: int | None = None
    id_length: int | None = None
    plain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFormat:
    """How the results of calls are written: one after the other in one turn, or each in its own.

    Args:
        before: what opens the turn of consecutive results.
        item: one result, with ``$content``, ``$id`` and the other fields of `nupic_client.prompts.tool_text`.
        between: the text between two consecutive results.
        after: what closes the turn.
        last: what closes the turn at the end of the conversation, where that differs.
    """

    before: str = ""
    item: str
    between: str = ""
    after: str = ""
    last: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFormat:
    """How a family writes tools, calls and results.

    Args:
        listing: how the tools on offer are listed.
        choice: a template variable, and how the tools are listed where it is false.
        calls: how an assistant message with calls is written.
        results: how results are written.
        markers: the strings around a result, which no result may have.
        shares_user_turn: whether results stand in user turns, so that user messages may not have the markers either.
        alternating: whether user and assistant must take turns in a conversation with tools, not counting calls and
            results.
        script: the family's own renderer of conversations with tools.
    """

    listing: ToolList
    choice: tuple[str, ToolList] | None = None
    calls: CallFormat
    results: ResultFormat
    markers: tuple[str, ...] = ()
    shares_user_turn: bool = False
    alternating: bool = False
    script: ToolScript | None = None

    def listing_for(self, job: Job) -> ToolList | None:
        """Return how the tools on offer are listed in a prompt; None where there are none."""
        if not job.tools:
            return None
        if self.choice is not None and not job.variables.get(self.choice[0], True):
            return self.choice[1]
        return self.listing
