"""Prompts of ``llm`` as messages and tools, and events as its stream events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import llm
from llm.parts import (
    AttachmentPart,
    ReasoningPart,
    StreamEvent,
    ToolCallPart,
    ToolResultPart,
)
from llm.parts import Message as HostMessage
from llm.parts import TextPart as HostTextPart

from nupic_client import (
    Event,
    Finished,
    Generation,
    ImagePart,
    Message,
    ReasoningDelta,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
)

__all__ = ["events_of", "note_end", "to_events", "to_messages", "to_tools"]


def to_messages(prompt: Any) -> list[Message]:
    """Return the conversation of a prompt of ``llm``, with its attachments as images."""
    return [ours for message in prompt.messages for ours in _messages(message)]


def to_tools(tools: Sequence[Any]) -> list[Tool]:
    """Return tools of ``llm``, which runs them itself; those of other servers are no functions and left out."""
    return [
        Tool(tool.name, tool.description or "", tool.input_schema or {"type": "object", "properties": {}})
        for tool in tools
        if isinstance(tool, llm.Tool)
    ]


def to_events(event: Event, response: Any) -> Iterator[StreamEvent]:
    """Yield the events of ``llm`` for one of ours, and tell its response what it notes apart from them."""
    match event:
        case TextDelta(text=text):
            yield StreamEvent(type="text", chunk=text)
        case ReasoningDelta(text=text):
            yield StreamEvent(type="reasoning", chunk=text)
        case ToolCall():  # not before it is complete: one that is cut off is none
            response.add_tool_call(llm.ToolCall(event.name, event.parsed, event.id))
            yield StreamEvent(type="tool_call_name", chunk=event.name, tool_call_id=event.id)
            yield StreamEvent(type="tool_call_args", chunk=event.arguments or "{}", tool_call_id=event.id)
        case Finished(generation=generation):
            note_end(generation, response)


def events_of(generation: Generation) -> Iterator[Event]:
    """Yield a generation as the events that its stream would have had, each in one piece."""
    if generation.reasoning:
        yield ReasoningDelta(generation.reasoning)
    if generation.text:
        yield TextDelta(generation.text)
    yield from generation.tool_calls
    yield Finished(generation)


def note_end(generation: Generation, response: Any) -> None:
    """Tell a response of ``llm`` the usage, and what its log keeps as JSON."""
    usage, timing = generation.usage, generation.timing
    if usage.input_tokens is not None or usage.output_tokens is not None:
        response.set_usage(input=usage.input_tokens, output=usage.output_tokens)
    response.set_resolved_model(generation.model)
    response.response_json = {
        "request_id": generation.request_id,
        "finish_reason": None if generation.finish_reason is None else str(generation.finish_reason),
        "endpoint": generation.endpoint,
        "attempts": len(generation.attempts),
        "time_to_first_token": timing.time_to_first_token,
        "tokens_per_second": timing.tokens_per_second,
    }


def _messages(message: HostMessage) -> Iterator[Message]:
    if message.role == "tool":
        yield from (_result(part) for part in message.parts if isinstance(part, ToolResultPart))
    elif message.role == "assistant":
        yield _answer(message.parts)
    else:
        yield Message(message.role, tuple(_content(message.parts)))


def _result(part: ToolResultPart) -> Message:
    return Message("tool", part.output, tool_call_id=part.tool_call_id, name=part.name)


def _answer(parts: Sequence[Any]) -> Message:
    texts = [part.text for part in parts if isinstance(part, HostTextPart)]
    thoughts = [part.text for part in parts if isinstance(part, ReasoningPart) and part.text]
    calls = [
        ToolCall(part.tool_call_id or "", part.name, json.dumps(part.arguments, ensure_ascii=False))
        for part in parts
        if isinstance(part, ToolCallPart)
    ]
    return Message("assistant", "".join(texts), tuple(calls), reasoning="".join(thoughts) or None)


def _content(parts: Sequence[Any]) -> Iterator[TextPart | ImagePart]:
    for part in parts:
        if isinstance(part, HostTextPart):
            yield TextPart(part.text)
        elif isinstance(part, AttachmentPart) and part.attachment is not None:
            yield _image(part.attachment)


def _image(attachment: Any) -> ImagePart:
    if attachment.url and not attachment.content:
        return ImagePart(attachment.url)
    return ImagePart(attachment.content_bytes())
