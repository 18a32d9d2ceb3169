"""Control tokens in what goes into a prompt: refused in what others wrote, neutralised in what the model wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nupic_client.errors import PromptError
from nupic_client.messages import Message
from nupic_client.parts import TextPart
from nupic_client.prompts.builder import TOOLS
from nupic_client.prompts.neutral import neutralised
from nupic_client.prompts.render import named

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator, Sequence

    from nupic_client.prompts.builder import PromptBuilder
    from nupic_client.prompts.family import Family, Job
    from nupic_client.tools import Tool, ToolCall

__all__ = ["check_results", "check_seams", "guarded"]


def guarded(
    family: Family,
    tokens: Iterable[str],
    conversation: tuple[Message, ...],
    tools: Sequence[Tool],
    first: int,
) -> tuple[Message, ...]:
    """Return the conversation with neutral words of the model; refuse control tokens in all other texts.

    Args:
        family: the family of the prompt.
        tokens: its control tokens.
        conversation: the messages.
        tools: the tools, whose descriptions are foreign text too.
        first: the number of the first message, see `Job`.

    Raises:
        PromptError: a text that the model did not write has a control token.
    """
    # Joined by a character no token contains: one search over all texts is a lot faster than one in each.
    texts = [message.text for message in conversation]
    for message in conversation:
        if message.tool_calls or message.reasoning or message.name or message.tool_call_id:
            texts += _besides(message)
            texts += _own_besides(message)
    for tool in tools:
        texts += _of_tool(tool)
    everything = "\0".join(texts)
    shape = family.marker_shape
    found = [token for token in tokens if token in everything]
    if shape is not None:
        found += shape.findall(everything)
    if not found:
        return conversation
    for tool in tools:
        for token in _first_of(found, _of_tool(tool)):
            raise _refused(family, f"the tool {tool.name!r}", token)
    for index, message in enumerate(conversation):
        foreign = _besides(message) if message.role == "assistant" else [message.text, *_besides(message)]
        for token in _first_of(found, foreign):
            raise _forgery(family, message, index + first, token)
    return tuple(
        _neutral(message, tokens, shape) if message.role == "assistant" else message
        for message in conversation
    )


def check_results(family: Family, job: Job) -> None:
    """Refuse the marks around a result of a tool in what could forge one: results, and user turns that results share.

    Raises:
        PromptError: a text has one of them.
    """
    if family.tools is None or not family.tools.markers or not job.has_tools:
        return
    roles = {"tool", "user"} if family.tools.shares_user_turn else {"tool"}
    for index, message in enumerate(job.messages):
        if message.role in roles:
            for marker in _first_of(list(family.tools.markers), [message.text]):
                raise _forgery(family, message, index + job.first, marker)


def check_seams(family: Family, tokens: tuple[str, ...], job: Job, builder: PromptBuilder) -> None:
    """Look for tokens that arise where content meets the family's own text; break those of the model's own words.

    Args:
        family: the family of the prompt.
        tokens: its control tokens.
        job: the conversation.
        builder: has the rendered prompt.

    Raises:
        PromptError: a text that the model did not write makes one.
    """
    tokens = (*tokens, *family.seams)
    padded = set()
    while (forged := builder.find_forged(tokens)) is not None:
        token, index, part = forged
        if index == TOOLS:
            raise _refused(family, "the list of the tools", token)
        if job.messages[index].role != "assistant" or part in padded:
            raise _forgery(family, job.messages[index], index + job.first, token)
        builder.pad(part)
        padded.add(part)


def _forgery(family: Family, message: Message, number: int, token: str) -> PromptError:
    """Return the error of a control token in a message."""
    return _refused(family, f"{named(number)} ({message.role})", token)


def _refused(family: Family, subject: str, token: str) -> PromptError:
    return PromptError(
        f"{subject} contains {token!r}, which {family.name} reads as control: it could forge a turn. Remove it",
        hint="or render verbatim with allow_control_tokens=True",
    )


def _first_of(tokens: list[str], texts: list[str]) -> Iterator[str]:
    return (token for token in tokens for text in texts if token in text)


def _besides(message: Message) -> list[str]:
    """Return what a program wrote into a message, besides its content."""
    return [text for text in (message.name, message.tool_call_id) if text]


def _own_besides(message: Message) -> list[str]:
    """Return what the model wrote besides the content: its reasoning and its calls, as they are and as they are read."""
    texts = [message.reasoning] if message.reasoning else []
    for call in message.tool_calls:
        texts += (call.id, call.name, call.arguments)
        if "\\" in call.arguments:  # an escape of JSON may hide a token, which a template then prints
            texts += _strings(_parsed(call))
    return texts


def _of_tool(tool: Tool) -> list[str]:
    return [tool.name, tool.description, *_strings(tool.parameters)]


def _strings(value: Any) -> list[str]:
    """Return all texts of a value of JSON, keys too."""
    texts, left = [], [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            texts.append(each)
        elif isinstance(each, list):
            left += each
        elif isinstance(each, dict):
            left += (*each.keys(), *each.values())
    return texts


def _parsed(call: ToolCall) -> Any:
    try:
        return call.parsed
    except ValueError:
        return None


def _neutral(message: Message, tokens: Iterable[str], shape: re.Pattern[str] | None) -> Message:
    """Return a message of the model whose texts have no control tokens."""

    def neutral(text: str) -> str:
        return neutralised(text, tokens, shape)

    if isinstance(message.content, str):
        content: Any = neutral(message.content)
    else:
        content = tuple(
            TextPart(neutral(part.text)) if isinstance(part, TextPart) else part for part in message.content
        )
    return replace(
        message,
        content=content,
        reasoning=neutral(message.reasoning) if message.reasoning else message.reasoning,
        tool_calls=tuple(
            replace(
                call, id=neutral(call.id), name=neutral(call.name), arguments=_neutral_json(call, neutral)
            )
            for call in message.tool_calls
        ),
    )


def _neutral_json(call: ToolCall, neutral: Any) -> str:
    parsed = _parsed(call)
    if parsed is None or not any(neutral(text) != text for text in _strings(parsed)):
        return str(neutral(call.arguments))
    return json.dumps(_mapped(parsed, neutral), ensure_ascii=False)


def _mapped(value: Any, change: Any) -> Any:
    """Return a value of JSON with changed texts; its depth is that which Python's parser takes."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(each, change) for each in value]
    if isinstance(value, dict):
        return {change(key): _mapped(each, change) for key, each in value.items()}
    return value
