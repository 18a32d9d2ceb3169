"""Messages, the parts of a conversation: each has a role and a content, and may have calls of tools and reasoning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeAlias

from nupic_client._message_fields import is_message, message_fields
from nupic_client._public import publish
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError
from nupic_client.parts import ContentPart, ImagePart, TextPart, part_dict
from nupic_client.tools import ToolCall

__all__ = [
    "ImagePart",
    "Message",
    "MessageLike",
    "TextPart",
    "assistant",
    "check_is_list",
    "check_texts",
    "other_texts",
    "read_messages",
    "system",
    "to_messages",
    "user",
]

Content: TypeAlias = str | Sequence[str | ContentPart]
"""A text, or texts and images in order."""


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A message of a conversation. Immutable and hashable.

    Args:
        role: the speaker, usually ``"system"``, ``"user"``, ``"assistant"`` or ``"tool"``; a formatter refuses roles that
            its model family does not know.
        content: the text, which may be empty; or texts and images. Without an image it is kept as one text.
        tool_calls: the model's calls of tools, in an assistant message.
        tool_call_id: the id of the call whose result this is, in a message of a tool.
        name: the name of the tool whose result this is, or of the speaker.
        reasoning: what the model thought before it answered, in an assistant message.

    Raises:
        ConfigurationError: a value is wrong.

    Example:
        >>> Message("user", "Hello")
        Message(role='user', content='Hello')
    """

    role: str
    content: str | tuple[ContentPart, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.role, str) or not self.role:
            raise ConfigurationError(f"role must be a non-empty string, not {self.role!r}", parameter="role")
        if not isinstance(self.content, str):
            object.__setattr__(self, "content", _content(self.role, self.content))
        if self.tool_calls != ():
            object.__setattr__(self, "tool_calls", _calls(self.role, self.tool_calls))
        if not (self.tool_call_id is self.name is self.reasoning is None):
            _check_others(self)

    @property
    def text(self) -> str:
        """The text of the content, without its images."""
        if isinstance(self.content, str):
            return self.content
        return "".join([part.text for part in self.content if isinstance(part, TextPart)])

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """The images of the content, in order."""
        if isinstance(self.content, str):
            return ()
        return tuple(part for part in self.content if isinstance(part, ImagePart))

    def as_dict(self) -> dict[str, Any]:
        """Return the message in OpenAI's form; `to_messages` reads it back. Files of images are read."""
        content = self.content
        written: dict[str, Any] = {
            "role": self.role,
            "content": content if isinstance(content, str) else [part_dict(part) for part in content],
        }
        if self.reasoning is not None:
            written["reasoning_content"] = self.reasoning
        if self.tool_calls:
            written["tool_calls"] = [call.as_dict() for call in self.tool_calls]
        for attribute in ("tool_call_id", "name"):
            if getattr(self, attribute) is not None:
                written[attribute] = getattr(self, attribute)
        return written

    def __repr__(self) -> str:
        shown = [f"role={self.role!r}", f"content={self.content!r}"]
        shown += [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)[2:]
            if getattr(self, field.name) not in (None, ())
        ]
        return f"Message({', '.join(shown)})"


def _check_others(message: Message) -> None:
    for attribute in ("tool_call_id", "name", "reasoning"):
        value = getattr(message, attribute)
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(
                f"{attribute} of a {message.role!r} message must be a string, not {type(value).__name__}",
                parameter=attribute,
            )
    if message.reasoning and message.role in _NEVER_THE_MODEL:
        raise ConfigurationError(
            f"a {message.role!r} message must not have reasoning: only the model's own has",
            parameter="reasoning",
        )


_NEVER_THE_MODEL = frozenset({"system", "developer", "user", "tool"})


def _content(role: str, content: object) -> str | tuple[ContentPart, ...]:
    if isinstance(content, (list, tuple)):
        parts = [TextPart(part) if isinstance(part, str) else part for part in content]
        wrong = next((part for part in parts if not isinstance(part, (TextPart, ImagePart))), None)
        if wrong is not None:
            raise ConfigurationError(
                f"content of a {role!r} message must be a string, or a list of strings, TextPart and ImagePart, not of"
                f" {type(wrong).__name__}",
                parameter="content",
            )
        if any(isinstance(part, ImagePart) for part in parts):
            return tuple(parts)
        return "".join([part.text for part in parts])
    raise ConfigurationError(
        f"content of a {role!r} message must be a string, not {type(content).__name__}", parameter="content"
    )


def _calls(role: str, calls: object) -> tuple[ToolCall, ...]:
    if not isinstance(calls, (list, tuple)) or not all(isinstance(call, ToolCall) for call in calls):
        raise ConfigurationError(
            f"tool_calls of a {role!r} message must be ToolCall values, not {calls!r:.80}",
            parameter="tool_calls",
        )
    if calls and role in _NEVER_THE_MODEL:
        raise ConfigurationError(
            f"a {role!r} message must not have tool_calls: only the model's own has", parameter="tool_calls"
        )
    return tuple(calls)


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

As other libraries write them: OpenAI's and Hugging Face's ``tool_calls`` (arguments as a text or an object) or
``function_call``, ``tool_call_id``, ``name``, and ``reasoning``, ``reasoning_content`` or ``thinking``; a content that is
None or a list of parts, whose texts are joined where there is no image. Keys without a value are ignored, and the role
``developer`` is read as ``system``, ``function`` as ``tool``."""


def system(content: str) -> Message:
    """Make a system message: instructions for the whole conversation."""
    return Message("system", content)


def user(content: Content) -> Message:
    """Make a user message: a text, or a list of texts and images."""
    return Message("user", content)  # type: ignore[arg-type]  # `Message` makes a tuple of it


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
        ConfigurationError: an item is none of them, it has something that a prompt cannot hold (a sound, a key that is
            not known), or the conversation is empty. Items are counted from 0.

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
        name = f"message {index} ({message.role})"
        check_text(name, message.text, parameter="messages")
        if message.tool_calls or message.reasoning or message.name or message.tool_call_id:
            for text in other_texts(message):
                check_text(name, text, parameter="messages")


def other_texts(message: Message) -> list[str]:
    """Return the texts of a message besides its content: names, ids, reasoning and what calls of tools have."""
    texts = [text for text in (message.name, message.tool_call_id, message.reasoning) if text]
    for call in message.tool_calls:
        texts += (call.id, call.name, call.arguments)
    return texts


def _is_message(item: object) -> bool:
    return isinstance(item, Message) or is_message(item)


_USUAL = frozenset({"system", "user", "assistant"})


def _to_message(item: MessageLike, index: int) -> Message:
    if isinstance(item, Message):
        return replace(item, role="system") if item.role == "developer" else item
    if type(item) is dict and len(item) == 2:  # most are like that, and a check of their keys takes longer
        role, content = item.get("role"), item.get("content")
        if type(role) is type(content) is str and role in _USUAL:
            return Message(role, content)
    if not _is_message(item):
        raise _refused(
            index, f" must be a Message or a mapping with 'role' and 'content', not {type(item).__name__}"
        )
    try:
        fields = message_fields(item)
    except ConfigurationError as error:
        raise _refused(index, f" {error.message}") from error.__cause__
    try:
        return Message(**fields)
    except ConfigurationError as error:
        raise _refused(index, f": {error.message}") from None


def _refused(index: int, reason: str) -> ConfigurationError:
    return ConfigurationError(f"message {index}{reason}", parameter="messages")


publish(__name__)
