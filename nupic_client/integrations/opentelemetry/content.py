"""Prompts and answers in the form of the conventions: JSON of messages, which have a role and parts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from nupic_client import ImagePart, Message, RequestContent, Tool, ToolCall
from nupic_client.integrations.opentelemetry.names import Names

__all__ = ["as_json", "content_attributes"]

_SYSTEM = ("system", "developer")


def content_attributes(names: Names, content: RequestContent, finish_reason: str | None) -> dict[str, Any]:
    """Return the attributes for what was said in a request, as lists of mappings.

    Args:
        names: of the attributes.
        content: what was said.
        finish_reason: of the answer.
    """
    prompt = content.prompt
    messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    system = [part for each in messages if each.role in _SYSTEM for part in _said(each)]
    others = [each for each in messages if each.role not in _SYSTEM]
    answer = [] if content.answer is None else [_message(content.answer)]
    if names.message_finish_reason and finish_reason:
        for each in answer:
            each["finish_reason"] = finish_reason
    found = {
        names.system_instructions: system,
        names.input_messages: [_message(each) for each in others],
        names.output_messages: answer,
        names.tool_definitions: [_tool(each) for each in content.tools],
    }
    return {name: value for name, value in found.items() if value}


def as_json(attributes: dict[str, Any]) -> dict[str, str]:
    """Return the same for a span, whose attributes are texts."""
    return {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for name, value in attributes.items()
    }


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "parts": [*_parts(message)]}
    if message.name is not None:
        written["name"] = message.name
    return written


def _parts(message: Message) -> Iterable[dict[str, Any]]:
    if message.reasoning:
        yield {"type": "reasoning", "content": message.reasoning}
    if message.role == "tool":
        yield {"type": "tool_call_response", "id": message.tool_call_id, "response": message.text}
    else:
        yield from _said(message)
    for call in message.tool_calls:
        yield {"type": "tool_call", "id": call.id, "name": call.name, "arguments": _arguments(call)}


def _said(message: Message) -> Iterable[dict[str, Any]]:
    if isinstance(message.content, str):
        if message.content:
            yield {"type": "text", "content": message.content}
        return
    for part in message.content:
        yield _image(part) if isinstance(part, ImagePart) else {"type": "text", "content": part.text}


def _image(image: ImagePart) -> dict[str, Any]:
    """Return the part of an image: its url, or only that there is one; its bytes would burst every backend."""
    source = image.source
    facts = {"modality": "image", "mime_type": image.media_type or None}
    if isinstance(source, str):
        return {"type": "uri", "uri": source, **facts}
    return {"type": "blob", "content": "", **facts}


def _arguments(call: ToolCall) -> Any:
    try:
        return json.loads(call.arguments)
    except ValueError:
        return call.arguments


def _tool(tool: Tool) -> dict[str, Any]:
    described = tool.as_dict()["function"]
    return {"type": "function", **described}
