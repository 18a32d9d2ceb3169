"""Messages, the parts of a conversation: each has a role and a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from nupic_client._public import publish
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError

__all__ = ["Message", "MessageLike", "assistant", "system", "to_messages", "user"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a conversation. Immutable and hashable.

    Args:
        role: the speaker, usually ``"system"``, ``"user"`` or ``"assistant"``; a formatter refuses roles that its model
            family does not know.
        content: the text, which may be empty.

    Raises:
        ConfigurationError: the role is not a non-empty string, or the content is not a string.

    Example:
        >>> Message("user", "Hello")
        Message(role='user', content='Hello')
    """

    role: str
    content: str

    def __post_init__(self) -> None:
        if not isinstance(self.role, str) or not self.role:
            raise ConfigurationError(f"role must be a non-empty string, not {self.role!r}", parameter="role")
        if not isinstance(self.content, str):
            raise ConfigurationError(
                f"content of a {self.role!r} message must be a string, not {type(self.content).__name__}",
                parameter="content",
            )


class MessageObject(Protocol):
    """An object of another library that has a role and a content, such as OpenAI's ``ChatCompletionMessage``."""

    @property
    def role(self) -> Any:
        """The speaker."""

    @property
    def content(self) -> Any:
        """The text, or its parts."""


MessageLike: TypeAlias = Message | Mapping[str, Any] | MessageObject
"""A message, or a mapping or object with ``role`` and ``content``: accepted in place of messages.

As other libraries write them: the content may be a list of text parts, which are joined, keys without a value are ignored,
and the role ``developer`` is read as ``system``."""


def system(content: str) -> Message:
    """Make a system message: instructions for the whole conversation."""
    return Message("system", content)


def user(content: str) -> Message:
    """Make a user message."""
    return Message("user", content)


def assistant(content: str) -> Message:
    """Make an assistant message: an earlier answer of the model."""
    return Message("assistant", content)


def to_messages(messages: Iterable[MessageLike]) -> tuple[Message, ...]:
    """Turn messages, and mappings and objects with ``role`` and ``content``, into messages.

    Args:
        messages: the conversation, in order.

    Returns:
        The same conversation as `Message` values.

    Raises:
        ConfigurationError: an item is none of them, it has something that a prompt cannot hold (an image, a call of a
            tool), or the conversation is empty. Items are counted from 0.

    Example:
        >>> to_messages([{"role": "user", "content": [{"type": "text", "text": "Hello"}], "name": None}])
        (Message(role='user', content='Hello'),)
    """
    result = read_messages(messages)
    if not result:
        raise ConfigurationError("messages must have at least one message", parameter="messages")
    return result


def read_messages(messages: Iterable[MessageLike]) -> tuple[Message, ...]:
    """Turn messages into `Message` values as `to_messages` does, but take none too."""
    check_is_list("messages", "a list of messages", messages)
    return tuple(_to_message(item, index) for index, item in enumerate(messages))


def check_is_list(name: str, wanted: str, messages: object) -> None:
    """Raise ConfigurationError for what cannot be a list of messages.

    Args:
        name: of the argument.
        wanted: what it must be, in words.
        messages: what was given.
    """
    single = _is_message(messages)
    if single or isinstance(messages, (str, bytes)) or not isinstance(messages, Iterable):
        advice = ": put it into a list" if single else ""
        raise ConfigurationError(
            f"{name} must be {wanted}, not {type(messages).__name__}{advice}", parameter=name
        )


def check_texts(messages: Iterable[Message]) -> None:
    """Raise ConfigurationError for a message that cannot be sent, see `nupic_client._text`."""
    for index, message in enumerate(messages):
        check_text(f"message {index} ({message.role})", message.content, parameter="messages")


def _is_message(item: object) -> bool:
    return isinstance(item, (Message, Mapping)) or (hasattr(item, "role") and hasattr(item, "content"))


def _to_message(item: MessageLike, index: int) -> Message:
    if isinstance(item, Message):
        return Message("system", item.content) if item.role == "developer" else item
    if not _is_message(item):
        raise _refused(
            index, f" must be a Message or a mapping with 'role' and 'content', not {type(item).__name__}"
        )
    fields = _fields(item)
    tools = next((key for key in _OF_TOOLS if key in fields), None)
    if tools is not None:
        raise _refused(
            index, f" has {tools!r}, but calls of tools cannot be written into a prompt: leave it out"
        )
    if set(fields) != {"role", "content"}:
        raise _refused(
            index, f" must have exactly the keys 'role' and 'content', not {sorted(map(str, fields))}"
        )
    role = fields["role"]
    if isinstance(role, str):
        role = str.__str__(role)  # of an enumeration its value
    text = _text(fields["content"], index)
    try:
        return Message("system" if role == "developer" else role, text)
    except ConfigurationError as error:
        raise _refused(index, f": {error.message}") from None


_OF_OTHERS = frozenset({"annotations", "created_at", "id", "options", "timestamp"})
"""Keys that say nothing to a model: buttons of a page, times, references of an answer to its sources."""
_OF_TOOLS = ("tool_calls", "function_call", "tool_call_id")
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def _fields(item: object) -> dict[object, Any]:
    """Return role, content and whatever else has a value: libraries write keys without one, as ``"tool_calls": None``."""
    if isinstance(item, Mapping):
        fields = dict(item)
    else:
        dump = getattr(item, "model_dump", None)  # pydantic's
        fields = dump() if callable(dump) else dict(getattr(item, "__dict__", {}))
        if dataclasses.is_dataclass(item):
            fields = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
        fields = {name: value for name, value in fields.items() if not str(name).startswith("_")}
        fields |= {name: getattr(item, name) for name in ("role", "content")}
    return {
        key: value
        for key, value in fields.items()
        if key in {"role", "content"} or not (key in _OF_OTHERS or _is_empty(value))
    }


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, list, tuple, dict)) and not value)


def _text(content: object, index: int) -> Any:
    """Return the text of a content; what is no list of parts is left to `Message` to check."""
    return "".join([_part(part, index) for part in content]) if isinstance(content, list) else content


def _part(part: object, index: int) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        kind, text = part.get("type"), part.get("text")
    else:
        kind, text = getattr(part, "type", None), getattr(part, "text", None)
    if (kind is not None and kind not in _TEXT_PARTS) or not isinstance(text, str):
        what = f"of type {kind!r}" if isinstance(kind, str) else f"that is {type(part).__name__}"
        raise _refused(index, f" has a part {what}: a prompt is text, and takes parts of type 'text' only")
    return text


def _refused(index: int, reason: str) -> ConfigurationError:
    return ConfigurationError(f"message {index}{reason}", parameter="messages")


publish(__name__)
