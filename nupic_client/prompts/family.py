"""A prompt family as data: the text around each role, and the place of the system prompt."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

from nupic_client.prompts.answer import AnswerFormat
from nupic_client.prompts.builder import PromptBuilder
from nupic_client.prompts.turn import Rule, Turn

if TYPE_CHECKING:
    import re

    from nupic_client.messages import Message
    from nupic_client.prompts.tool_format import ToolFormat
    from nupic_client.tools import Tool

__all__ = ["DateLine", "Family", "Job", "Place", "Rule", "Turn"]


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


class Place(enum.Enum):
    """Where the leading system message goes."""

    TURN = "its own turn"
    FIRST_USER = "the head of the first user turn"
    LAST_USER = "the head of the last message, if that is a user turn; else it is lost"
    FRONT = "the front of the prompt, together with all other system messages"


@dataclass(frozen=True, slots=True)
class DateLine:
    """How a family prints the date, which its texts mark with ``{date}``.

    Args:
        style: a ``strftime`` format of ``%d``, ``%m``, ``%Y``, ``%b`` and ``%B``; months are English in every
            locale.
        default: the day that the official template has built in; None where it asks the clock.
    """

    style: str
    default: date | None = None

    def show(self, day: date | None) -> str:
        """Print a day, or the default one, or today.

        Args:
            day: the day; None leaves the choice to the family.

        Returns:
            The text.
        """
        # Not strftime: a model knows English month names, whatever the process's locale says.
        # The local day is what the official templates print.
        day = day or self.default or date.today()  # noqa: DTZ011
        month = _MONTHS[day.month - 1]
        fields = {
            "%d": f"{day.day:02}",
            "%m": f"{day.month:02}",
            "%Y": f"{day.year}",
            "%b": month[:3],
            "%B": month,
        }
        text = self.style
        for name, value in fields.items():
            text = text.replace(name, value)
        return text


@dataclass(frozen=True, slots=True)
class Job:
    """One conversation to render, with the options of the call.

    Args:
        messages: the conversation.
        add_generation_prompt: whether the prompt ends with what opens the answer.
        printed_date: the date as the family prints it; empty where it prints none.
        day: the date the caller gave.
        variables: the template variables the caller gave.
        first: the number of the first message in errors; -1 where a default system prompt stands before the caller's.
        tools: the tools that the model may call.
    """

    messages: tuple[Message, ...]
    add_generation_prompt: bool = True
    printed_date: str = ""
    day: date | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    first: int = 0
    tools: tuple[Tool, ...] = ()

    @property
    def has_tools(self) -> bool:
        """Whether tools are on offer, or were called in the conversation."""
        return bool(self.tools) or any(
            message.role == "tool" or message.tool_calls for message in self.messages
        )


Script: TypeAlias = Callable[["Family", Job, PromptBuilder], None]
"""A family's own renderer, for a template that is more than text around messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One prompt family: data, which `nupic_client.prompts.render` reads.

    Args:
        name: the family's name.
        reference_model: the model whose official template this is, on the Hugging Face hub.
        source: where the reference prompts were taken from.
        description: the quirks in one line.
        bos: the token a prompt starts with; empty where the tokenizer has none.
        eos: the token an answer ends with.
        stop: the strings that end a generation.
        markers: the strings that make turns, besides ``bos``, ``eos`` and the stop strings. Content with one
            of them is refused.
        start: what the prompt starts with.
        bos_in_turns: whether user turns print ``bos`` themselves.
        user: the turn of a user message.
        assistant: the turn of an assistant message; refused where a family has single turns only.
        system: the turn of a leading system message, or what happens to it.
        late_system: the turn of any other system message, or what happens to it; None: the same as
            ``system``.
        system_place: where the leading system message goes.
        default_system: the system prompt that is printed where the conversation does not start with one.
        alternating: whether user and assistant must take turns, user first.
        generation: what opens the answer.
        ending: what is printed instead of ``generation`` when no answer is asked for.
        last_assistant: the turn of an assistant message that ends the conversation, where it differs.
        trims_fold: whether a system message folded into a user turn is trimmed together with it, not before.
        seams: strings that make a turn only where content meets the family's own text.
        marker_shape: a pattern of more strings that content may not have.
        roles: the roles the family knows; empty: the template decides.
        system_needs_turn: whether the leading system message is printed only where another message follows.
        generation_needs_turn: whether ``generation`` is printed only where there is more than a system
            message.
        date: how the date is printed, where a family prints one.
        variables: the names of the template variables the family knows; None: any.
        tools: how tools, their calls and their results are written; None: the family has no tools.
        image: what stands in the prompt for an image of a user message; None: the family has no images.
        aliases: short names.
        answer: how an answer is read; None: all of it is text.
        reasons: whether its models usually reason before they answer, so that every answer is read for it.
        script: the family's own renderer.
    """

    name: str
    reference_model: str = ""
    source: str = ""
    description: str = ""
    bos: str = ""
    eos: str = ""
    stop: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    start: str = ""
    bos_in_turns: bool = False
    user: Turn
    assistant: Turn | Rule
    system: Turn | Rule
    late_system: Turn | Rule | None = None
    system_place: Place = Place.TURN
    default_system: str | None = None
    alternating: bool = False
    last_assistant: Turn | None = None
    trims_fold: bool = False
    seams: tuple[str, ...] = ()
    marker_shape: re.Pattern[str] | None = None
    roles: tuple[str, ...] = ("system", "user", "assistant")
    generation: str = ""
    ending: str = ""
    system_needs_turn: bool = False
    generation_needs_turn: bool = False
    date: DateLine | None = None
    variables: tuple[str, ...] | None = ()
    tools: ToolFormat | None = None
    image: str | None = None
    aliases: tuple[str, ...] = ()
    answer: AnswerFormat | None = None
    reasons: bool = False
    script: Script | None = None
