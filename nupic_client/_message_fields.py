"""The fields of messages that other libraries write: OpenAI's, Hugging Face's, LangChain's and pydantic's forms."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nupic_client.errors import ConfigurationError
from nupic_client.parts import ContentPart, ImagePart, TextPart, image_at, of_base64
from nupic_client.tools import ToolCall

__all__ = ["fields_of", "is_message", "message_fields"]

_OF_OTHERS = frozenset(
    {
        *("annotations", "created_at", "id", "options", "timestamp"),
        *("cache_control", "provider_specific_fields", "thinking_blocks"),
    }
)
"""Keys that say nothing to a model: buttons of a page, times, references of an answer to its sources; what other providers
sign or keep, as LiteLLM writes it."""
_REASONING = ("reasoning", "reasoning_content", "thinking")
"""vLLM's and OpenRouter's name, DeepSeek's, and gpt-oss's."""
_OPTIONAL = ("tool_calls", "function_call", "tool_call_id", "name", *_REASONING)
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_THINKING_PARTS = frozenset({"thinking", "reasoning"})


def is_message(item: object) -> bool:
    """Return whether an item has what a message of another library has: it is a mapping, or has a role and a content."""
    return isinstance(item, Mapping) or (hasattr(item, "role") and hasattr(item, "content"))


def message_fields(item: object) -> dict[str, Any]:
    """Return the arguments of a `Message` from a mapping or an object of another library.

    Raises:
        ConfigurationError: it has something that a message cannot hold. The text goes on after the message's number.
    """
    fields = fields_of(item)
    unknown = [key for key in fields if key not in {"role", "content", *_OPTIONAL}]
    if "role" not in fields or unknown or not ({*fields} - {"role", "name"}):
        optional = "'tool_calls', 'tool_call_id', 'name' and 'reasoning'"
        raise _refused(
            f"must have the keys 'role' and 'content', and may have {optional}, not {sorted(map(str, fields))}"
        )
    role = fields["role"]
    if isinstance(role, str):
        role = str.__str__(role)  # of an enumeration its value
    role = {"developer": "system", "function": "tool"}.get(role, role) if isinstance(role, str) else role
    calls = _tool_calls(fields)
    content, thoughts = _content(fields.get("content"))
    reasoning = _reasoning(fields, thoughts)
    if content is None and (calls or reasoning is not None):
        content = ""
    read = {"role": role, "content": content, "tool_calls": calls, "reasoning": reasoning}
    for key in ("tool_call_id", "name"):
        value = fields.get(key)
        read[key] = str.__str__(value) if isinstance(value, str) else value
    return read


def fields_of(item: object) -> dict[object, Any]:
    """Return role, content and whatever else has a value: libraries write keys without one, as ``"tool_calls": None``."""
    if isinstance(item, Mapping):
        fields = dict(item)
    else:
        fields = _attributes(item)
        fields |= {name: getattr(item, name) for name in ("role", "content")}
    return {
        key: value
        for key, value in fields.items()
        if key in {"role", "content"} or not (key in _OF_OTHERS or _is_empty(value))
    }


def _attributes(item: object) -> dict[Any, Any]:
    dump = getattr(item, "model_dump", None)  # pydantic's
    if callable(dump):
        fields = dict(dump())
    elif dataclasses.is_dataclass(item):
        fields = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    else:
        fields = dict(getattr(item, "__dict__", {}))
    return {name: value for name, value in fields.items() if not str(name).startswith("_")}


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, list, tuple, dict)) and not value)


def _get(item: object, key: str) -> Any:
    return item.get(key) if isinstance(item, Mapping) else getattr(item, key, None)


def _reasoning(fields: Mapping[Any, Any], thoughts: list[str]) -> Any:
    given = [fields[key] for key in _REASONING if key in fields]
    if any(not isinstance(value, str) for value in given):
        raise _refused(f"must have a string as its reasoning, not {type(given[0]).__name__}")
    found = list(dict.fromkeys([*given, *(["".join(thoughts)] if thoughts else [])]))
    if len(found) > 1:
        raise _refused("must have its reasoning once, not two different ones")
    return found[0] if found else None


def _tool_calls(fields: Mapping[Any, Any]) -> tuple[ToolCall, ...]:
    calls = fields.get("tool_calls", ())
    if not isinstance(calls, (list, tuple)):
        raise _refused(f"must have a list as its tool_calls, not {type(calls).__name__}")
    read = tuple(_tool_call(call, f"tool call {index}") for index, call in enumerate(calls))
    if "function_call" in fields:
        if read:
            raise _refused("must have either tool_calls or function_call, not both")
        read = (_tool_call(fields["function_call"], "function_call"),)
    return read


def _tool_call(call: object, place: str) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    kind = _get(call, "type")
    if kind is not None and kind not in {"function", "tool_call"}:
        raise _refused(
            f"has a {place} of type {kind!r}: only calls of functions can be written into a prompt"
        )
    inner = _get(call, "function")
    inner = call if inner is None else inner
    name, identity = _get(inner, "name"), _get(call, "id")
    arguments = _get(inner, "arguments")
    if arguments is None:
        arguments = _get(inner, "args")  # LangChain's
    if not isinstance(name, str) or not name:
        raise _refused(f"has a {place} without the name of a tool: give {{'name': …, 'arguments': …}}")
    if identity is not None and not isinstance(identity, str):
        raise _refused(f"has a {place} whose id must be a string, not {type(identity).__name__}")
    return ToolCall(identity or "", name, _arguments(arguments, place))


def _arguments(arguments: object, place: str) -> str:
    if arguments is None:
        return "{}"
    if isinstance(arguments, str):
        return arguments
    if not isinstance(arguments, Mapping):
        raise _refused(
            f"has a {place} whose arguments must be an object or its JSON text, not {type(arguments).__name__}"
        )
    try:
        return json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused(f"has a {place} whose arguments must be what JSON can hold: {error}") from None


def _content(content: Any) -> tuple[Any, list[str]]:
    """Return the text or the parts of a content, and the thoughts among them; anything else is left to `Message`."""
    if isinstance(content, tuple) and all(isinstance(part, (TextPart, ImagePart)) for part in content):
        return content, []
    if not isinstance(content, list):
        # A tuple is what Gradio makes of a file.
        if isinstance(content, tuple):
            raise _refused("has a content that must be a string or a list of parts, not tuple")
        return content, []
    parts: list[ContentPart] = []
    thoughts: list[str] = []
    for part in content:
        kind = _get(part, "type") if not isinstance(part, (str, TextPart, ImagePart)) else None
        if isinstance(kind, str) and kind in _THINKING_PARTS:
            thoughts.append(_thought(part, kind))
        else:
            parts.append(_part(part, kind))
    if any(isinstance(part, ImagePart) for part in parts):
        return parts, thoughts
    return "".join([part.text for part in parts if isinstance(part, TextPart)]), thoughts


def _thought(part: object, kind: str) -> str:
    """Return the text of a thought: Anthropic's is a string, Mistral's a list of texts."""
    thought = _get(part, kind)
    thought = _get(part, "text") if thought is None else thought
    if isinstance(thought, list):
        texts = [each if isinstance(each, str) else _get(each, "text") for each in thought]
        thought = "".join(texts) if all(isinstance(each, str) for each in texts) else None
    if not isinstance(thought, str):
        raise _refused(f"has a part of type {kind!r} without a text")
    return thought


def _part(part: object, kind: object) -> ContentPart:
    if isinstance(part, (TextPart, ImagePart)):
        return part
    if isinstance(part, str):
        return TextPart(part)
    if isinstance(kind, str) and kind in {"image_url", "image", "input_image"}:
        try:
            return _image(part, kind)
        except ConfigurationError as error:
            raise _refused(f"has a part of type {kind!r}: {error.message}") from error.__cause__
    text = _get(part, "text")
    if (kind is not None and kind not in _TEXT_PARTS) or not isinstance(text, str):
        what = f"of type {kind!r}" if isinstance(kind, str) else f"that is {type(part).__name__}"
        raise _refused(f"has a part {what}: a prompt takes parts of type 'text' and 'image_url' only")
    return TextPart(text)


_IMAGE_KEYS = ("image_url", "image", "url", "path", "base64", "data", "source")


def _image(part: object, kind: str) -> ImagePart:
    """Return the image of a part: OpenAI's, Hugging Face's, LangChain's or Anthropic's."""
    media_type = _get(part, "mime_type") or _get(part, "media_type") or ""
    for key in _IMAGE_KEYS:
        value = _get(part, key)
        if value is None or (key == "source" and isinstance(value, str)):
            continue
        if key == "source":  # Anthropic's {"type": "base64", "media_type": …, "data": …}
            return _image(value, kind)
        if isinstance(value, ImagePart):
            return value
        if key == "image_url" and not isinstance(value, str):
            value = _get(value, "url")
        if key in {"base64", "data"} and isinstance(value, str):
            return of_base64(value, media_type)
        if isinstance(value, str):
            return image_at(value)
        if isinstance(value, (bytes, bytearray, Path)) or key == "image":
            return ImagePart(value, media_type)
        raise ConfigurationError(f"{key!r} must be a url or a data URI, not {type(value).__name__}")
    raise ConfigurationError("it must have an image, such as {'image_url': {'url': …}}, not none")


def _refused(reason: str) -> ConfigurationError:
    return ConfigurationError(reason, parameter="messages")
