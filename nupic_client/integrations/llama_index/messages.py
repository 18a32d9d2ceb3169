"""LlamaIndex's messages and tools as this library's."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.tools import BaseTool

from nupic_client import ConfigurationError, ImagePart, Message, ToolCall
from nupic_client.messages import to_messages

__all__ = ["prompt_of", "tools_of"]

_ROLES = {
    MessageRole.DEVELOPER: "system",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
}


def prompt_of(messages: Sequence[ChatMessage]) -> list[Message]:
    """Return a conversation as `nupic_client.Message` values.

    Raises:
        ConfigurationError: a message has what is neither text, image, reasoning nor a call of a tool.
    """
    tools: dict[str, str] = {}  # the names by the ids of calls: LlamaIndex's results have the id only
    written = []
    for index, message in enumerate(messages):
        read = _message(message, index, tools)
        tools.update({call.id: call.name for call in read.tool_calls if call.id})
        written.append(read)
    return written


def tools_of(tools: Iterable[Any]) -> list[Any]:
    """Return LlamaIndex's tools in OpenAI's form; others stay as they are."""
    return [
        tool.metadata.to_openai_tool(skip_length_check=True) if isinstance(tool, BaseTool) else tool
        for tool in tools
    ]


def _message(message: ChatMessage, index: int, tools: dict[str, str]) -> Message:
    role = _ROLES.get(message.role, message.role.value)
    others = message.additional_kwargs
    thoughts = [
        block.content for block in message.blocks if isinstance(block, ThinkingBlock) and block.content
    ]
    identity = others.get("tool_call_id")
    return Message(
        role,
        _content(message.blocks, index),
        tool_calls=_calls(message),
        tool_call_id=identity,
        name=others.get("name") or (tools.get(identity or "") if role == "tool" else None),
        reasoning="".join(thoughts) or None,
    )


def _content(blocks: Iterable[Any], index: int) -> Any:
    """Return texts and images in order; texts that follow each other are joined as ``ChatMessage.content`` joins them."""
    parts: list[Any] = []
    for part in _parts(blocks, index):
        if parts and isinstance(part, str) and isinstance(parts[-1], str):
            parts[-1] += f"\n{part}"
        else:
            parts.append(part)
    return parts


def _parts(blocks: Iterable[Any], index: int) -> Iterable[Any]:
    for block in blocks:
        if isinstance(block, TextBlock):
            yield block.text
        elif isinstance(block, ImageBlock):
            yield _image(block)
        elif isinstance(block, CitableBlock):
            yield from _parts(block.content, index)
        elif not isinstance(block, (ThinkingBlock, ToolCallBlock, CachePoint, CitationBlock)):
            raise ConfigurationError(
                f"message {index} must have texts and images, not {type(block).__name__}: no prompt can hold that",
                parameter="messages",
            )


def _image(block: ImageBlock) -> ImagePart:
    kind = block.image_mimetype or ""
    if isinstance(block.image, bytes) and block.image:
        return ImagePart(base64.b64decode(block.image), kind)
    if block.image:
        return ImagePart(block.resolve_image().read(), kind)
    if block.path:
        return ImagePart(block.path, kind)
    url = str(block.url or "")
    # The kind that core reads out of a data URI is not always one.
    return ImagePart(url, "" if url.startswith("data:") else kind)


def _calls(message: ChatMessage) -> tuple[ToolCall, ...]:
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return tuple(_call(block) for block in blocks)
    given = message.additional_kwargs.get("tool_calls")  # as integrations wrote them before there were blocks
    if not given:
        return ()
    (read,) = to_messages([{"role": "assistant", "content": "", "tool_calls": given}])
    calls: tuple[ToolCall, ...] = read.tool_calls
    return calls


def _call(block: ToolCallBlock) -> ToolCall:
    arguments = block.tool_kwargs
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(block.tool_call_id or "", block.tool_name, text)
