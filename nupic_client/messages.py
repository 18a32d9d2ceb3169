"""Messages, the parts of a conversation: each has a role and a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nupic_client._public import publish
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


MessageLike: TypeAlias = Message | Mapping[str, str]
"""A message, or a mapping with the keys ``role`` and ``content``: accepted in place of messages."""


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
    """Turn messages and ``{"role": …, "content": …}`` mappings into messages.

    Args:
        messages: the conversation, in order.

    Returns:
        The same conversation as `Message` values.

    Raises:
        ConfigurationError: an item is neither of them, has missing or unknown keys, or the conversation is empty.

    Example:
        >>> to_messages([{"role": "user", "content": "Hello"}])
        (Message(role='user', content='Hello'),)
    """
    if isinstance(messages, (str, bytes, Message, Mapping)) or not isinstance(messages, Iterable):
        raise ConfigurationError(
            f"messages must be a list of messages, not {type(messages).__name__}", parameter="messages"
        )
    result = tuple(_to_message(item, index) for index, item in enumerate(messages))
    if not result:
        raise ConfigurationError("messages must have at least one message", parameter="messages")
    return result


def _to_message(item: MessageLike, index: int) -> Message:
    if isinstance(item, Message):
        return item
    if not isinstance(item, Mapping):
        raise ConfigurationError(
            f"message {index} must be a Message or a mapping with 'role' and 'content', not {type(item).__name__}",
            parameter="messages",
        )
    if set(item) != {"role", "content"}:
        raise ConfigurationError(
            f"message {index} must have exactly the keys 'role' and 'content', not {sorted(map(str, item))}",
            parameter="messages",
        )
    return Message(item["role"], item["content"])


publish(__name__)
