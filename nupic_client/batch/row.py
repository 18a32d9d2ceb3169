"""One line of a batch: the prompt to send, and the line of its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nupic_client.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ContextLengthError,
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceError,
    ModelUnavailableError,
    NupicError,
    OutputError,
    OverloadedError,
    PromptError,
    ProtocolError,
    RequestRejectedError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BadLineError",
    "Embedding",
    "Form",
    "Row",
    "RowError",
    "encoded",
    "error_of",
    "key_of_columns",
    "shown",
    "without_results",
]

Form: TypeAlias = Literal["plain", "vectors", "chat", "completion", "embedding", "unreadable"]
"""The shape of a line and of its answer: plain columns with a prompt or with a text for vectors; OpenAI's for a chat, a text
or vectors; and what cannot be read."""

RESULT_COLUMNS = ("output", "finish_reason", "input_tokens", "output_tokens", "time_to_first_token", "error")
"""What an answer adds to plain columns; columns of these names in the input are replaced."""
OPTIONAL_COLUMNS = ("tool_calls", "reasoning", "logprobs", "embedding")
"""What some answers add besides; columns of these names in the input are replaced by those, or were in an answer before."""

_CODES: tuple[tuple[type[NupicError], str], ...] = (
    (OverloadedError, "overloaded"),
    (DeadlineExceededError, "deadline_exceeded"),
    (ConnectionFailedError, "connection_failed"),
    (AuthenticationError, "authentication_failed"),
    (ModelUnavailableError, "model_unavailable"),
    (ContextLengthError, "context_length_exceeded"),
    (RequestRejectedError, "request_rejected"),
    (InferenceError, "model_error"),
    (IncompleteStreamError, "incomplete"),
    (ProtocolError, "protocol_error"),
    (PromptError, "invalid_prompt"),
    (ConfigurationError, "invalid_request"),
    (OutputError, "invalid_output"),
)
"""The code of an error in a line; the first class that fits counts."""


@dataclass(frozen=True, slots=True)
class RowError:
    """The reason why a line has no answer.

    Args:
        code: for programs, as ``"overloaded"``.
        message: for people.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vectors of one line.

    Args:
        vectors: one row for each text of the line.
        model: the server's name of the model.
        request_id: a name for the requests of the line together.
    """

    vectors: NDArray[Any]
    model: str
    request_id: str


class BadLineError(Exception):
    """A line that cannot be sent. Never leaves the package: it becomes the line's own error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error: RowError = RowError(code, message)


@dataclass(slots=True, eq=False)
class Row:
    """One line of the input.

    Args:
        number: of the line, from 1.
        form: of the line, and so of its answer.
        columns: of a plain line.
        custom_id: of a line in OpenAI's form.
        prompt: a text, or a list of messages; for vectors a text or a list of texts.
        options: of this line's generation alone.
        asks: what the line says about its answer, besides.
        model: the model that the line names, or "".
        error: what is wrong with the line; it is not sent then.
    """

    number: int
    form: Form = "plain"
    columns: dict[str, Any] = field(default_factory=dict)
    custom_id: Any = None
    prompt: Any = ""
    options: dict[str, Any] = field(default_factory=dict)
    asks: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    error: RowError | None = None
    place: int = 0
    """Its place among the lines of this run, which ``ordered`` output keeps."""

    @property
    def plain(self) -> bool:
        """Whether the line is one of plain columns, and so its answer."""
        return self.form in {"plain", "vectors", "unreadable"}

    @property
    def embeds(self) -> bool:
        """Whether the line is to become vectors."""
        return self.form in {"vectors", "embedding"}

    @property
    def key(self) -> int | str:
        """The name of the line in what was written before: its number, or for plain columns the hash of them."""
        return key_of_columns(self.columns) if self.plain else self.number


def without_results(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain columns without those of an earlier answer."""
    old: tuple[str, ...] = RESULT_COLUMNS
    if "error" in columns and ("output" in columns or "embedding" in columns):  # the line is an answer itself
        old = (*RESULT_COLUMNS, *OPTIONAL_COLUMNS)
    return {name: value for name, value in columns.items() if name not in old}


def key_of_columns(columns: Mapping[str, Any]) -> str:
    """Return the hash of plain columns, without those that an answer adds.

    A hash of all columns and not the id: two lines may have the same id, and lines that are equal can stand for each other.
    """
    added = {*RESULT_COLUMNS, *OPTIONAL_COLUMNS}
    given = {name: value for name, value in columns.items() if name not in added}
    return blake2b(json.dumps(given, sort_keys=True).encode(), digest_size=8).hexdigest()


def error_of(error: NupicError) -> RowError:
    """Return the error of a line whose request failed."""
    return RowError(next((code for kind, code in _CODES if isinstance(error, kind)), "error"), str(error))


def encoded(answer: Mapping[str, Any]) -> bytes:
    """Return an answer as a line.

    Raises:
        ValueError: a number is not one of JSON.
    """
    try:
        return json.dumps(answer, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can only escape
        return json.dumps(answer, allow_nan=False).encode() + b"\n"


def shown(value: Any) -> str:
    """Return a value for an error's text: the beginning of a text, else its type."""
    if value is None:
        return "missing or null"
    if isinstance(value, (str, int, float)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:60]}…"
    return {"list": "a list", "dict": "an object"}.get(type(value).__name__, type(value).__name__)
