"""The renderer of conversations with tools, for all families: it reads their `ToolFormat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.errors import PromptError
from nupic_client.prompts.builder import TOOLS
from nupic_client.prompts.family import Place
from nupic_client.prompts.tool_format import ListPlace
from nupic_client.prompts.tool_text import call_fields, quote_item, result_fields
from nupic_client.prompts.turn import Rule, Turn

if TYPE_CHECKING:
    from nupic_client.prompts.builder import PromptBuilder
    from nupic_client.prompts.family import Family, Job
    from nupic_client.prompts.tool_format import CallFormat, ToolFormat, ToolList

__all__ = ["list_tools", "render_with_tools", "say_calls", "say_result", "short_id"]


def render_with_tools(family: Family, tools: ToolFormat, job: Job, builder: PromptBuilder) -> None:
    """Render a conversation that offers tools, or has calls or results.

    Args:
        family: the family.
        tools: how it writes tools.
        job: the conversation and the options.
        builder: takes the parts of the prompt.

    Raises:
        PromptError: the official template refuses this conversation.
    """
    if tools.script is not None:
        tools.script(family, job, builder)
        return
    builder.literal(family.start)
    _say_front(family, tools, job, builder)
    _say_turns(family, tools, job, builder)
    listing = tools.listing_for(job)
    builder.literal(listing.closing if listing else "")
    if not job.add_generation_prompt:
        builder.literal(family.ending)
    elif not family.generation_needs_turn or len(job.messages) > 1 or job.messages[0].role != "system":
        builder.literal(family.generation)


def list_tools(listing: ToolList, job: Job, builder: PromptBuilder) -> None:
    """Append the list of the tools on offer.

    Raises:
        PromptError: the schema of a tool is nested too deep.
    """
    try:
        written = listing.write(job.tools)
    except RecursionError:
        raise PromptError(
            "the schemas of the tools must be less than some hundred levels deep, not more: flatten them"
        ) from None
    builder.literal(listing.before)
    builder.content(written, TOOLS)
    builder.literal(listing.after)


def say_calls(family: Family, calls: CallFormat, job: Job, index: int, builder: PromptBuilder) -> None:
    """Append the calls of an assistant message, without the turn around them."""
    message, number = job.messages[index], index + job.first
    if calls.most is not None and len(message.tool_calls) > calls.most:
        raise PromptError(
            f"message {number} has {len(message.tool_calls)} calls of tools, but {family.name} allows {calls.most} in a"
            " message: put the others into messages of their own, each after the result of the one before"
        )
    if not message.tool_calls:
        return
    builder.literal(calls.before)
    if calls.write is not None:
        builder.content(calls.write(message.tool_calls), index)
    else:
        for position, call in enumerate(message.tool_calls):
            builder.literal(calls.between if position else "")
            fields = {**call_fields(call), "id": short_id(family, calls, call.id, number)}
            quote_item(builder, calls.item, fields, index)
    builder.literal(calls.after)


def say_result(family: Family, tools: ToolFormat, job: Job, index: int, builder: PromptBuilder) -> None:
    """Append the result of a call; consecutive ones share a turn."""
    results, messages = tools.results, job.messages
    follows = index > 0 and messages[index - 1].role == "tool"
    goes_on = index + 1 < len(messages) and messages[index + 1].role == "tool"
    builder.literal(results.between if follows else results.before)
    fields = dict(result_fields(messages[index]))
    fields["id"] = short_id(family, tools.calls, fields["id"], index + job.first)
    quote_item(builder, results.item, fields, index)
    if not goes_on:
        at_end = index + 1 == len(messages) and results.last is not None
        builder.literal(results.last or "" if at_end else results.after)


def short_id(family: Family, calls: CallFormat, name: str, number: int) -> str:
    """Return the id of a call as the family takes it: the end of it, where it is too long."""
    if calls.id_length is None or len(name) == calls.id_length:
        return name
    short = name[-calls.id_length :]
    if len(name) < calls.id_length or not (short.isascii() and short.isalnum()):
        raise PromptError(
            f"message {number} has the id {name!r} of a call, but {family.name} allows ids of {calls.id_length} letters and"
            " digits"
        )
    return short


def _say_front(family: Family, tools: ToolFormat, job: Job, builder: PromptBuilder) -> None:
    listing = tools.listing_for(job)
    place = listing.place if listing else None
    if listing and place is ListPlace.BEFORE:
        list_tools(listing, job, builder)
    turn = (listing.system if listing else None) or family.system
    default = listing.default_system if listing else None
    default = family.default_system if default is None else default
    given = job.messages[0].role == "system"
    in_turn = place in {ListPlace.SYSTEM, ListPlace.HEAD}
    if isinstance(turn, Turn) and not _folds(family) and (given or default is not None or in_turn):
        builder.literal(turn.before.replace("{date}", job.printed_date))
        if listing and place is ListPlace.HEAD:
            list_tools(listing, job, builder)
        if given:
            builder.content(turn.clean(job.messages[0].text), 0)
        else:
            builder.literal((default or "").replace("{date}", job.printed_date))
        if listing and place is ListPlace.SYSTEM:
            builder.literal(listing.gap if given else "")
            list_tools(listing, job, builder)
        builder.literal(turn.after)
    if listing and place is ListPlace.AFTER:
        list_tools(listing, job, builder)


def _folds(family: Family) -> bool:
    return family.system_place is Place.LAST_USER


def _say_turns(family: Family, tools: ToolFormat, job: Job, builder: PromptBuilder) -> None:
    messages, listing = job.messages, tools.listing_for(job)
    first = 1 if messages[0].role == "system" else 0
    place = listing.place if listing else None
    if place is ListPlace.FIRST and first == len(messages):
        raise PromptError(
            f"the conversation has no user message, but {family.name} allows tools only with one"
        )
    asked = [index for index, message in enumerate(messages) if message.role == "user"][-1:]
    if asked and place is ListPlace.LAST_TEXT:
        asked = [index for index, message in enumerate(messages) if message == messages[asked[-1]]]
    for index in range(first, len(messages)):
        message = messages[index]
        if listing and place is ListPlace.FIRST and index == first:
            _say_first(family, listing, job, index, builder)
        elif message.role == "tool":
            say_result(family, tools, job, index, builder)
        elif message.role == "assistant" and (message.tool_calls or tools.calls.plain):
            _say_assistant(family, tools.calls, job, index, builder)
        elif message.role == "assistant":
            builder.turn(family.assistant, message.text, index)
        elif message.role == "user":
            if listing and place in {ListPlace.LAST_USER, ListPlace.LAST_TEXT} and index in asked:
                list_tools(listing, job, builder)
            _say_user(family, job, index, builder)
        else:
            builder.turn(_late_system(family, listing), message.text, index)


def _say_first(family: Family, listing: ToolList, job: Job, index: int, builder: PromptBuilder) -> None:
    builder.literal(family.user.before)
    list_tools(listing, job, builder)
    builder.content(family.user.clean(job.messages[index].text), index)
    builder.literal(family.user.after)


def _say_user(family: Family, job: Job, index: int, builder: PromptBuilder) -> None:
    text = job.messages[index].text
    if _folds(family) and job.messages[0].role == "system" and index == len(job.messages) - 1:
        builder.literal(family.user.before)
        builder.content(job.messages[0].text, 0)
        builder.literal(family.system.after if isinstance(family.system, Turn) else "")
        builder.content(family.user.clean(text), index)
        builder.literal(family.user.after)
    else:
        builder.turn(family.user, text, index)


def _say_assistant(family: Family, calls: CallFormat, job: Job, index: int, builder: PromptBuilder) -> None:
    builder.literal(calls.start)
    if calls.content is not None and job.messages[index].text:
        builder.turn(calls.content, job.messages[index].text, index)
    say_calls(family, calls, job, index, builder)
    builder.literal(calls.end)


def _late_system(family: Family, listing: ToolList | None) -> Turn | Rule:
    if listing is not None and listing.late_system is not None:
        return listing.late_system
    return family.system if family.late_system is None else family.late_system
