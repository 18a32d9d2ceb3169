"""LangChain's messages as those of the package, and its tools and its ways to choose one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from nupic_client import ConfigurationError, Message
from nupic_client.messages import to_messages

__all__ = ["conversation", "merged", "read_tool_choice", "tool_names"]

_ROLES = {"human": "user", "system": "system", "ai": "assistant", "tool": "tool", "function": "tool"}
_THOUGHTS = frozenset({"reasoning", "thinking"})
_NO_PARTS = frozenset(
    {
        *(
            "tool_use",
            "tool_call",
            "tool_call_chunk",
            "invalid_tool_call",
            "input_json_delta",
            "function_call",
        ),
        *(
            "server_tool_call",
            "server_tool_call_chunk",
            "server_tool_result",
            "redacted_thinking",
            "non_standard",
        ),
    }
)
"""Blocks of an answer that say again what stands in ``tool_calls``, or nothing to a model."""


def conversation(messages: Sequence[BaseMessage], *, alternating: bool = False) -> tuple[Message, ...]:
    """Return a conversation as messages of the package.

    Args:
        messages: the conversation.
        alternating: whether the roles must alternate, so that messages of one role become one.

    Raises:
        ConfigurationError: a message has something that a prompt cannot hold.
    """
    names: dict[str, str] = {}
    made = []
    for message in messages:
        fields = _fields(message, names)
        names |= {call["id"]: call["name"] for call in fields.get("tool_calls", ()) if call["id"]}
        made.append(fields)
    found = to_messages(made)
    return merged(found) if alternating else found


def _fields(message: BaseMessage, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a message as a mapping that `to_messages` reads."""
    kind = message.type.removesuffix("MessageChunk").lower()
    role = message.role if isinstance(message, ChatMessage) else _ROLES.get(kind)
    if role is None:
        raise ConfigurationError(
            f"messages must be those of a conversation, not {type(message).__name__}", parameter="messages"
        )
    fields: dict[str, Any] = {"role": role, "content": message.content}
    if isinstance(message, AIMessage):
        fields |= _of_answer(message)
    elif isinstance(message, ToolMessage):
        fields |= {
            "tool_call_id": message.tool_call_id,
            "name": message.name or names.get(message.tool_call_id),
        }
    elif kind == "function":
        fields["name"] = message.name
    return fields


def _of_answer(message: AIMessage) -> dict[str, Any]:
    """Return what an answer has: text, calls and thoughts, which LangChain keeps in one of two places."""
    content, thoughts = message.content, message.additional_kwargs.get("reasoning_content")
    if isinstance(content, list):
        kinds = [block.get("type") if isinstance(block, dict) else "text" for block in content]
        told = [block for block, kind in zip(content, kinds, strict=True) if kind in _THOUGHTS]
        thoughts = "".join(map(_thought, told)) or thoughts
        content = [
            block
            for block, kind in zip(content, kinds, strict=True)
            if kind not in _THOUGHTS and kind not in _NO_PARTS
        ]
    calls = [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in message.tool_calls]
    return {"content": content, "reasoning": thoughts or None, "tool_calls": calls}


def _thought(block: Any) -> str:
    thought = block.get(block["type"])
    return thought if isinstance(thought, str) else ""


def merged(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Return a conversation with texts of one role after each other as one message, with an empty line between them."""
    made: list[Message] = []
    for message in messages:
        last = made[-1] if made else None
        if (
            last is not None
            and last.role == message.role in {"user", "assistant"}
            and _plain(last)
            and _plain(message)
        ):
            made[-1] = Message(message.role, f"{last.content}\n\n{message.content}")
        else:
            made.append(message)
    return tuple(made)


def _plain(message: Message) -> bool:
    return isinstance(message.content, str) and not message.tool_calls and message.reasoning is None


def tool_names(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of tools in OpenAI's form.

    Raises:
        ConfigurationError: one is no function, but a tool that another provider runs itself.
    """
    for tool in tools:
        if not isinstance(tool.get("function"), Mapping):
            raise ConfigurationError(
                f"tools must be functions, not {tool.get('type')!r}, which only its own provider can run",
                parameter="tools",
            )
    return [tool["function"]["name"] for tool in tools]


def read_tool_choice(value: Any, names: Sequence[str]) -> Any:
    """Return LangChain's way to choose a tool as the package's.

    Args:
        value: a word, the name of a tool, OpenAI's mapping, or whether a tool must be called.
        names: of the tools.

    Raises:
        ConfigurationError: there is no such tool.
    """
    if isinstance(value, bool):
        value = "required" if value else "auto"
    if value == "any":
        return "required"
    named = value if isinstance(value, str) else None
    if isinstance(value, Mapping):
        inner = value.get("function", value)
        named = inner.get("name") if isinstance(inner, Mapping) else None
    if named is not None and named not in {"auto", "none", "required", *names}:
        raise ConfigurationError(
            f"tool_choice must be 'any', 'auto', 'none' or the name of a tool, of {', '.join(names) or 'none'}, not"
            f" {named!r}",
            parameter="tool_choice",
        )
    return value
