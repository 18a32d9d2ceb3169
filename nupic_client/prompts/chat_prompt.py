"""A conversation to a prompt, step by step: checked, guarded, rendered, and cut where the last message is continued."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.messages import Message, read_messages
from nupic_client.prompts.continuing import cut_after, marked
from nupic_client.prompts.family import Family, Job
from nupic_client.prompts.guard import check_results, check_seams, guarded
from nupic_client.prompts.render import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nupic_client.messages import MessageLike
    from nupic_client.tools import Tool

__all__ = ["chat_prompt", "conversation_of"]


def conversation_of(messages: str | Iterable[MessageLike], system: str | None) -> tuple[Message, ...]:
    """Return the messages of a conversation.

    Args:
        messages: the conversation, or one user message's text.
        system: a system message to put before it.

    Raises:
        PromptError: there is none, or two system messages.
    """
    if isinstance(messages, str):
        conversation: tuple[Message, ...] = (Message("user", messages),)
    else:
        conversation = read_messages(messages)
        if not conversation:
            raise PromptError("a conversation needs at least one message")
    if system is None:
        return conversation
    if conversation[0].role == "system":
        raise PromptError(
            "the conversation starts with a system message already: give it there, or as system=, not both"
        )
    return (Message("system", system), *conversation)


def chat_prompt(
    family: Family,
    conversation: tuple[Message, ...],
    first: int,
    control_tokens: tuple[str, ...] | None,
    *,
    add_generation_prompt: bool | None,
    continue_final_message: bool,
    tools: tuple[Tool, ...],
    date: dt.date | None,
    variables: Mapping[str, Any],
) -> str:
    """Return the prompt of a conversation.

    Args:
        family: how it is written.
        conversation: the messages.
        first: the number of the first one, see `Job`.
        control_tokens: refused in content that the model did not write; None to insert all content verbatim.
        add_generation_prompt: as for `PromptFormatter`, like all that follow.
        continue_final_message: whether the prompt ends within the last message.
        tools: the tools on offer.
        date: the date for the families that print one.
        variables: for the template.

    Raises:
        PromptError: as for `PromptFormatter`.
        ConfigurationError: the same.
    """
    if control_tokens is not None:
        conversation = guarded(family, control_tokens, conversation, tools, first)
    _check_variables(family, variables)
    content = conversation[-1].text
    if continue_final_message:
        conversation = marked(conversation, first, add_generation_prompt=add_generation_prompt)
    job = Job(
        conversation,
        add_generation_prompt=not continue_final_message and add_generation_prompt is not False,
        printed_date="" if family.date is None else family.date.show(_checked_date(date)),
        day=date,
        variables=variables,
        first=first,
        tools=tools,
    )
    if control_tokens is not None:
        check_results(family, job)
    builder = render(family, job)
    if control_tokens is not None:
        check_seams(family, control_tokens, job, builder)
    prompt = builder.text()
    return cut_after(prompt, content, family.name) if continue_final_message else prompt


def _check_variables(family: Family, variables: Mapping[str, Any]) -> None:
    known = family.variables
    unknown = [] if known is None else [name for name in variables if name not in known]
    if unknown:
        near = did_you_mean(unknown[0], known or ())
        known_ones = f"{near}the variables are {listed(known)}" if known else "it has none"
        raise ConfigurationError(
            f"{family.name} has no template variable {unknown[0]!r}: {known_ones}."
            " PromptFormatter.from_jinja renders the model's own template with any variables",
            parameter="template_variables",
        )


def _checked_date(day: dt.date | None) -> dt.date | None:
    if day is not None and not isinstance(day, dt.date):
        raise ConfigurationError(f"date must be a datetime.date, not {day!r}", parameter="date")
    return day
