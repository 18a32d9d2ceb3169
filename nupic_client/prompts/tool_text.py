"""Tools, calls and results as text: JSON as chat templates print it, and the fields of a format's items."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nupic_client.messages import Message
    from nupic_client.prompts.builder import PromptBuilder
    from nupic_client.tools import Tool, ToolCall

__all__ = [
    "bare_list",
    "call_fields",
    "joined_list",
    "json_blocks",
    "json_each",
    "json_lines",
    "json_list",
    "json_list_2",
    "json_list_4",
    "quote_item",
    "result_fields",
    "to_json",
]

_SURROGATE = re.compile("[\ud800-\udfff]")
_FIELD = re.compile(r"\$(\w+)")


def to_json(value: Any, indent: int | None = None) -> str:
    """Write JSON as the ``tojson`` of chat templates does: readable, in the order of the keys."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Half of a pair, which a model can write as an escape, has no bytes: it stays an escape.
    return text if text.isascii() else _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_lines(tools: Sequence[Tool]) -> str:
    """Write each tool on a line of its own."""
    return "\n".join([to_json(tool.as_dict()) for tool in tools])


def json_each(tools: Sequence[Tool]) -> str:
    """Write each tool indented, with a blank line after it."""
    return "".join([f"{to_json(tool.as_dict(), 4)}\n\n" for tool in tools])


def json_blocks(tools: Sequence[Tool]) -> str:
    """Write each tool indented, with a blank line between two."""
    return "\n\n".join([to_json(tool.as_dict(), 4) for tool in tools])


def json_list(tools: Sequence[Tool]) -> str:
    """Write one list on one line."""
    return to_json([tool.as_dict() for tool in tools])


def json_list_2(tools: Sequence[Tool]) -> str:
    """Write one list, indented by two."""
    return to_json([tool.as_dict() for tool in tools], 2)


def json_list_4(tools: Sequence[Tool]) -> str:
    """Write one list, indented by four."""
    return to_json([tool.as_dict() for tool in tools], 4)


def bare_list(tools: Sequence[Tool]) -> str:
    """Write one list of the functions without ``{"type": "function"}`` around them."""
    return to_json([tool.as_dict()["function"] for tool in tools])


def joined_list(tools: Sequence[Tool]) -> str:
    """Write one list as Mistral's templates join it: strings stand between quotes, and are not escaped."""
    written = []
    for tool in tools:
        pairs = [
            f'"{key}": "{value}"' if isinstance(value, str) else f'"{key}": {to_json(value)}'
            for key, value in tool.as_dict()["function"].items()
        ]
        written.append(f'{{"type": "function", "function": {{{", ".join(pairs)}}}}}')
    return f"[{', '.join(written)}]"


def call_fields(call: ToolCall) -> Mapping[str, str]:
    """Return what stands for the fields of a call's item.

    ``$name``, ``$id``; ``$quoted_name`` as a JSON string; ``$arguments`` as templates print an object, ``$text`` the same
    or, where the model wrote no object, its own words; ``$raw`` always its own words; ``$indented`` on lines of its own.
    """
    raw = call.arguments if call.arguments.strip() else "{}"
    try:
        arguments = call.parsed
        plain = text = to_json(arguments)
        indented = to_json(arguments, 4)
    except (ValueError, RecursionError):
        # No object, or one that is nested deeper than Python's encoder goes.
        plain, text, indented = to_json(raw), raw, to_json(raw)
    return {
        "name": call.name,
        "quoted_name": to_json(call.name),
        "id": call.id,
        "arguments": plain,
        "text": text,
        "raw": raw,
        "indented": indented.replace("\n", "\n" + " " * 8),
    }


def result_fields(message: Message) -> Mapping[str, str]:
    """Return what stands for the fields of a result's item.

    ``$content``, ``$trimmed``, ``$quoted`` as a JSON string, and ``$id`` of the call.
    """
    text = message.text
    return {
        "content": text,
        "trimmed": text.strip(),
        "quoted": to_json(text),
        "id": message.tool_call_id or "",
    }


def quote_item(builder: PromptBuilder, item: str, fields: Mapping[str, str], message: int) -> None:
    """Append an item: its own text is the family's, its fields are the content of the message with this index."""
    for position, part in enumerate(_FIELD.split(item)):
        if position % 2:
            builder.content(fields[part], message)
        else:
            builder.literal(part)
