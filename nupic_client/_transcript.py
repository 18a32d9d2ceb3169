"""The part of `Conversation` that keeps what was said, and saves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from typing_extensions import Self

from nupic_client._async.stream import AsyncTextStream
from nupic_client._files import replace_file
from nupic_client._repr import counted
from nupic_client._request_id import new_request_id
from nupic_client._sync.stream import TextStream
from nupic_client._text import check_text
from nupic_client._tool_loop import Exchange
from nupic_client.errors import ConfigurationError, StreamStateError
from nupic_client.messages import Message, MessageLike, check_texts, read_messages
from nupic_client.streaming import StreamingClient

__all__ = ["Transcript"]


class Transcript:
    """What was said in a conversation: its system prompt and its messages.

    Args:
        client: the model that was talked to.
        system: the system prompt.
        messages: those so far.

    Raises:
        ConfigurationError: a value is wrong.
    """

    _last: Callable[[], TextStream | AsyncTextStream | None] = staticmethod(lambda: None)
    """Returns the stream of the last answer, while there is one."""

    def __init__(
        self, client: StreamingClient, *, system: str | None, messages: Iterable[MessageLike]
    ) -> None:
        self._client = client
        self._system = _checked_system(system)
        self._kept = _checked_history(messages)
        self._last = _nothing
        self._exchange: Exchange | None = None
        self._session = new_request_id()

    def __getstate__(self) -> dict[str, Any]:
        # A running answer belongs to this conversation. A copy has the messages so far and a client of its own.
        return {**self.__dict__, "_kept": list(self._messages), "_last": _nothing, "_exchange": None}

    @property
    def _messages(self) -> list[Message]:
        """The messages so far. An exchange whose loop was left is dropped first: an async loop tells of it later."""
        if self._exchange is not None and self._exchange.is_left:
            self._drop(self._exchange)
        return self._kept

    @property
    def id(self) -> str:
        """The id of this conversation, made up when it began and saved with it; for observers its ``session``."""
        return self._session

    @property
    def system(self) -> str | None:
        """The system prompt, or None for the default of the model. A new value applies from the next message on."""
        return self._system

    @system.setter
    def system(self, text: str | None) -> None:
        self._system = _checked_system(text)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages so far, without the system prompt. May be set, for the next message on."""
        return tuple(self._messages)

    @messages.setter
    def messages(self, messages: Iterable[MessageLike]) -> None:
        self._check_idle()
        self._kept = _checked_history(messages)

    def clear(self) -> None:
        """Forget all messages; the system prompt stays.

        Raises:
            StreamStateError: the last answer is still being generated.
        """
        self._check_idle()
        self._messages.clear()

    def undo(self) -> tuple[Message, ...]:
        """Drop the last exchange: the last message of the user, and what followed it.

        Returns:
            The messages that were dropped; empty where there was none.

        Raises:
            StreamStateError: the last answer is still being generated.

        Example:
            .. code-block:: python

                question, answer = conversation.undo()
                conversation.generate(question.text + " Answer in one sentence.")
        """
        self._check_idle()
        places = [index for index, message in enumerate(self._messages) if message.role == "user"]
        dropped = tuple(self._messages[places[-1] :]) if places else ()
        del self._messages[len(self._messages) - len(dropped) :]
        return dropped

    def to_json(self) -> str:
        """Return the conversation as JSON text, for `from_json`. It contains all messages in plain text."""
        messages = [message.as_dict() for message in self._messages]
        data = {
            "version": 1,
            "id": self._session,
            "model": self._client.model.name,
            "system": self._system,
            "messages": messages,
        }
        return json.dumps(data, ensure_ascii=False, indent=1)

    def save(self, path: str | Path) -> None:
        """Write the conversation to a file in the form of `to_json`.

        An existing file is replaced as a whole: if writing fails or is interrupted, the older one stays.

        Args:
            path: the file.

        Raises:
            OSError: the file cannot be written.
        """
        replace_file(Path(path), self.to_json().encode())

    @classmethod
    def from_json(cls, text: str, client: StreamingClient, **options: Any) -> Self:
        """Return a conversation from the JSON text of `to_json`.

        Args:
            text: the JSON text.
            client: the model to continue with, not necessarily the same one.
            **options: as for the constructor.

        Raises:
            ConfigurationError: the text is not a conversation.
        """
        try:
            data = json.loads(text)
            if data["version"] != 1:
                raise ConfigurationError(f"a saved conversation must have version 1, not {data['version']!r}")
            conversation = cls(client, system=data["system"], messages=data["messages"], **options)
            conversation._session = _checked_id(data.get("id", conversation._session))
            return conversation  # noqa: TRY300 - what it takes is checked above
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, ConfigurationError):
                raise
            why = f"it has no {error}" if isinstance(error, KeyError) else error
            raise ConfigurationError(f"this is not a saved conversation: {why}") from None

    @classmethod
    def load(cls, path: str | Path, client: StreamingClient, **options: Any) -> Self:
        """Return the conversation in a file of `save`.

        Args:
            path: the file.
            client: as for `from_json`.
            **options: as for `from_json`.

        Raises:
            ConfigurationError: the file has no conversation.
            OSError: the file cannot be read.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"this is not a saved conversation: {error}") from None
        return cls.from_json(text, client, **options)

    def __repr__(self) -> str:
        count = counted(len(getattr(self, "_kept", ())), "message")
        last = self._last()
        state = "" if last is None or last.closed else ", answering"
        return f"Conversation({getattr(self, '_client', None)!r}, {count}{state})"

    def _check_idle(self) -> None:
        last = self._last()
        if last is not None and not last.closed:
            raise StreamStateError(
                "the last answer is still being generated: read it to its end or close it first"
            )
        if self._messages and self._messages[-1].tool_calls and self._exchange is not None:
            raise StreamStateError(
                "the calls of the last answer are still to be run: read its rounds to their end or close them first"
            )
        self._exchange = None  # what it has is complete, and stays, however its loop ends

    def _begin_exchange(self, exchange: Exchange) -> None:
        self._check_idle()
        exchange.before = list(self._messages)
        self._exchange = exchange

    def _end_exchange(self, exchange: Exchange) -> None:
        if self._exchange is exchange:
            self._exchange = None

    def _drop(self, exchange: Exchange) -> None:
        """Take back what an exchange has said, unless something else was said since."""
        if self._exchange is exchange:
            self._exchange = None
            self._kept = exchange.before
            exchange.dropped = True


def _checked_system(text: str | None) -> str | None:
    if text is not None and not isinstance(text, str):
        raise ConfigurationError(f"system must be a string, not {text!r}", parameter="system")
    check_text("system", text or "", parameter="system")
    return text


def _checked_id(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"the id of a saved conversation must be a non-empty string, not {value!r}")
    return value


def _checked_history(given: Iterable[MessageLike]) -> list[Message]:
    messages = list(read_messages(given))
    if any(message.role == "system" for message in messages):
        raise ConfigurationError(
            "messages must not have a system message: leave it out",
            parameter="messages",
            hint="or give it as system=",
        )
    check_texts(messages)
    return messages


def _nothing() -> None:
    """Return no stream, before the first message."""
