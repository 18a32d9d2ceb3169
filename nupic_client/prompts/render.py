"""The renderer of all families: it appends the parts of a conversation to a prompt as the family's data say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nupic_client.errors import PromptError
from nupic_client.prompts.builder import PromptBuilder
from nupic_client.prompts.family import Family, Job, Place, Rule, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client.messages import Message

__all__ = ["allowed", "check", "named", "render"]


def render(family: Family, job: Job) -> PromptBuilder:
    """Render a conversation.

    Args:
        family: how it is written.
        job: the conversation and the options.

    Returns:
        The builder of the prompt.

    Raises:
        PromptError: the official template refuses this conversation.
    """
    check(family, job)
    builder = PromptBuilder()
    if family.script is not None:
        family.script(family, job, builder)
        return builder
    builder.literal(family.start)
    _say_front(family, job, builder)
    _say_turns(family, job.messages, builder)
    has_turns = len(job.messages) > 1 or job.messages[0].role != "system"
    if not job.add_generation_prompt:
        builder.literal(family.ending)
    elif has_turns or not family.generation_needs_turn:
        builder.literal(family.generation)
    return builder


def allowed(family: Family) -> str:
    """Say in one sentence which conversations the family allows."""
    if family.roles == ("user",):
        return f"{family.name} allows exactly one user message and nothing else"
    if not family.alternating:
        return f"{family.name} allows the roles {', '.join(family.roles)}, in any order"
    system = (
        "no system message" if family.system is Rule.REFUSED else "at most one system message, at the front"
    )
    return f"{family.name} allows {system}, and user and assistant messages in turns, user first"


def named(number: int) -> str:
    """Return how errors call a message: by its number in the caller's own list."""
    return "the model's system prompt" if number < 0 else f"message {number}"


_OWN_TEMPLATE = "The model's own template may have it: PromptFormatter.from_tokenizer_config"


def check(family: Family, job: Job) -> None:
    """Refuse what the official template refuses, and what it would leave out without a word.

    Args:
        family: the family.
        job: the conversation, and the tools.

    Raises:
        PromptError: a role the family does not have, an order it does not allow, or tools where it has none.
    """
    if not family.roles:
        return  # the template decides
    messages, first = job.messages, job.first
    if family.tools is None:
        _check_no_tools(family, job)
    for index, message in enumerate(messages):
        if message.role not in family.roles:
            raise PromptError(f"{named(index + first)} has the role {message.role!r}, but {allowed(family)}")
        if message.images:
            raise PromptError(
                f"{named(index + first)} ({message.role}) has an image, but {family.name} has no place for images."
                f" {_OWN_TEMPLATE}"
            )
    if isinstance(family.assistant, Rule) and len(messages) != 1:
        raise PromptError(f"the conversation has {len(messages) + first} messages, but {allowed(family)}")
    if family.alternating:
        _check_turns(family, messages, first)


def _check_no_tools(family: Family, job: Job) -> None:
    if job.tools:
        raise PromptError(f"tools must not be given, because {family.name} has no tools. {_OWN_TEMPLATE}")
    for index, message in enumerate(job.messages):
        what = "calls of tools" if message.tool_calls else "the role 'tool'" if message.role == "tool" else ""
        if what:
            who = f"{named(index + job.first)} has {what}"
            raise PromptError(f"{who}, but {family.name} has no tools: {allowed(family)}. {_OWN_TEMPLATE}")


def _check_turns(family: Family, messages: Sequence[Message], first: int) -> None:
    skipped = 1 if messages[0].role == "system" else 0
    if skipped and family.system is Rule.REFUSED:
        raise PromptError(f"{named(first)} is a system message, but {allowed(family)}")
    for index, message in enumerate(messages[skipped:]):
        # The templates compare "is it a user message" with the parity only: a late system message may stand
        # where an assistant message is due. What happens to it then is the family's `late_system`.
        refused = message.role == "system" and _late_system(family) is Rule.REFUSED
        if (message.role == "user") != (index % 2 == 0) or refused:
            number = index + skipped + first
            raise PromptError(f"{named(number)} is of role {message.role!r}, but {allowed(family)}")


def _late_system(family: Family) -> Turn | Rule:
    return family.system if family.late_system is None else family.late_system


def _say_front(family: Family, job: Job, builder: PromptBuilder) -> None:
    """Say the system prompt, where it is not part of a later turn."""
    turn = family.system
    if isinstance(turn, Rule):
        return
    if family.system_place is Place.FRONT:
        systems = [(index, message) for index, message in enumerate(job.messages) if message.role == "system"]
        for position, (index, message) in enumerate(systems):
            builder.literal(turn.after if position else "")
            builder.content(message.text, index)
        return
    if family.system_place is not Place.TURN:
        return
    if family.date is not None:
        turn = replace(turn, before=turn.before.replace("{date}", job.printed_date))
    if job.messages[0].role == "system":
        if len(job.messages) > 1 or not family.system_needs_turn:
            builder.turn(turn, job.messages[0].text, 0)
    elif family.default_system is not None:
        builder.literal(turn.before + family.default_system.replace("{date}", job.printed_date) + turn.after)


def _say_turns(family: Family, messages: Sequence[Message], builder: PromptBuilder) -> None:
    has_system = messages[0].role == "system"
    late_system: Turn | Rule = _late_system(family)
    if family.system_place is Place.FRONT:
        late_system = Rule.DROPPED
    turns = {"user": family.user, "assistant": family.assistant, "system": late_system}
    folded_into = _folded_into(family, messages) if has_system else -1
    last = len(messages) - 1
    for index, message in enumerate(messages):
        if index == 0 and has_system:
            continue
        if index == folded_into:
            _quote_folded(family, messages, index, builder)
        elif index == last and message.role == "assistant" and family.last_assistant is not None:
            builder.turn(family.last_assistant, message.text, index)
        else:
            builder.turn(turns[message.role], message.text, index)


def _folded_into(family: Family, messages: Sequence[Message]) -> int:
    """Return the index of the user message that takes the system message in, or -1."""
    last = len(messages) - 1
    if family.system_place is Place.FIRST_USER and last > 0:
        return 1
    if family.system_place is Place.LAST_USER and messages[last].role == "user":
        return last
    return -1


def _quote_folded(family: Family, messages: Sequence[Message], index: int, builder: PromptBuilder) -> None:
    system, user = family.system, family.user
    if isinstance(system, Rule) or isinstance(user, Rule):  # pragma: no cover  # such a family folds nothing
        return
    text = messages[index].text
    gap = system.after
    if family.trims_fold:
        # Trimming the whole removes nothing at its front, which is the family's own text.
        text = text.rstrip()
        gap = gap if text else gap.rstrip()
    else:
        text = user.clean(text)
    builder.literal(user.before + system.before)
    builder.content(messages[0].text, 0)
    builder.literal(gap)
    builder.content(text, index)
    builder.literal(user.after)
