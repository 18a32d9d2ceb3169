"""The one renderer: turns a conversation into a draft by what a family says about itself."""

from __future__ import annotations

from collections.abc import Sequence

from nupic_client.errors import PromptError
from nupic_client.messages import Message
from nupic_client.prompts.draft import Draft
from nupic_client.prompts.family import Family, Job, Place, Rule, Turn

__all__ = ["allowed", "check", "render"]


def render(family: Family, job: Job) -> Draft:
    """Render a conversation.

    Args:
        family: how it is written.
        job: the conversation and the options.

    Returns:
        The draft of the prompt.

    Raises:
        PromptError: the official template refuses this conversation.
    """
    check(family, job.messages)
    draft = Draft()
    if family.script is not None:
        family.script(family, job, draft)
        return draft
    draft.say(family.start)
    leading = job.messages[0] if job.messages[0].role == "system" else None
    _say_leading(family, job, leading, draft)
    turns = list(enumerate(job.messages))[1 if leading else 0 :]
    folded_into = _folded_into(family, turns) if leading else None
    for index, message in turns:
        if index == folded_into and leading is not None:
            _quote_folded(family, leading, message, index, draft)
        else:
            _quote_turn(_turn(family, message.role), message, index, draft)
    _say_end(family, job, draft, has_turns=bool(turns))
    return draft


def allowed(family: Family) -> str:
    """Say in one sentence which conversations the family allows."""
    if isinstance(family.assistant, Rule):
        return f"{family.name!r} allows exactly one user message and nothing else"
    if family.system is Rule.REFUSED:
        system = "no system message"
    elif family.alternating:
        system = "an optional system message first"
    else:
        return f"{family.name!r} allows the roles system, user and assistant in any order"
    return f"{family.name!r} allows {system}, then user and assistant messages in turns, user first"


def check(family: Family, messages: Sequence[Message]) -> None:
    """Refuse what the official template refuses.

    Raises:
        PromptError: a role the family does not have, or an order it does not allow.
    """
    single = isinstance(family.assistant, Rule)
    if single and (len(messages) != 1 or messages[0].role != "user"):
        raise PromptError(f"{allowed(family)}, not {_roles(messages)}")
    for index, message in enumerate(messages):
        if message.role not in {"system", "user", "assistant"}:
            raise PromptError(f"message {index} has the role {message.role!r}: {allowed(family)}")
    if family.alternating:
        _check_alternation(family, messages)


def _check_alternation(family: Family, messages: Sequence[Message]) -> None:
    offset = 1 if messages[0].role == "system" else 0
    if offset and family.system is Rule.REFUSED:
        raise PromptError(f"message 0 is a system message: {allowed(family)}")
    for index, message in enumerate(messages[offset:]):
        # The templates compare "is it a user message" with the parity only: a late system message may stand where an
        # assistant message is due. What happens to it then is the family's `late_system`.
        refused = message.role == "system" and family.late_system is Rule.REFUSED
        if (message.role == "user") != (index % 2 == 0) or refused:
            raise PromptError(f"message {index + offset} is a {message.role} message: {allowed(family)}")


def _roles(messages: Sequence[Message]) -> str:
    shown = ", ".join(message.role for message in messages[:6])
    return f"{shown}, … ({len(messages)} messages)" if len(messages) > 6 else shown


def _turn(family: Family, role: str) -> Turn | Rule:
    if role == "user":
        return family.user
    if role == "assistant":
        return family.assistant
    return family.system if family.late_system is None else family.late_system


def _quote_turn(turn: Turn | Rule, message: Message, index: int, draft: Draft) -> None:
    if isinstance(turn, Rule) or (turn.skip_empty and not message.content):
        return
    draft.say(turn.before)
    draft.quote(turn.clean(message.content), index)
    draft.say(turn.after)


def _say_leading(family: Family, job: Job, leading: Message | None, draft: Draft) -> None:
    turn = family.system
    if family.system_place is not Place.TURN or isinstance(turn, Rule):
        return
    if job.date:
        turn = Turn(turn.before.replace("{date}", job.date), turn.after, turn.clean, turn.skip_empty)
    if leading is not None:
        _quote_turn(turn, leading, 0, draft)
    elif family.default_system is not None:
        draft.say(turn.before + family.default_system.replace("{date}", job.date) + turn.after)


def _folded_into(family: Family, turns: Sequence[tuple[int, Message]]) -> int | None:
    return None


def _quote_folded(family: Family, leading: Message, message: Message, index: int, draft: Draft) -> None:
    return None


def _say_end(family: Family, job: Job, draft: Draft, *, has_turns: bool) -> None:
    if not job.add_generation_prompt:
        draft.say(family.ending)
    elif has_turns or not family.generation_needs_turn:
        draft.say(family.generation)
