"""Lines of a batch, in both forms: from bytes to rows, and from answers to bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nupic_client.batch import openai_answers, openai_lines
from nupic_client.batch.row import (
    RESULT_COLUMNS,
    BadLineError,
    Embedding,
    Row,
    RowError,
    encoded,
    key_of_columns,
    without_results,
)
from nupic_client.results import Generation

__all__ = [
    "Answered",
    "Prompting",
    "answer_line",
    "answered",
    "failure_line",
    "in_form_of_openai",
    "read_line",
    "read_object",
]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


MOST_NESTED = 128
"""A line that is nested deeper is an error: what reads and writes it, or a schema in it, would run out of stack."""


@dataclass(frozen=True, slots=True)
class Prompting:
    """How lines become prompts.

    Args:
        system: the system prompt of conversations that have none; a plain prompt becomes the user's message after it.
        chat: a plain prompt is a user's message in the model's format, not a text that is sent unchanged.
    """

    system: str | None = None
    chat: bool = False


def read_line(data: bytes, number: int, prompting: Prompting) -> Row | None:
    """Return the row of a line, or None if it is blank. What is wrong with the line is the row's error.

    Args:
        data: the line, with or without its end.
        number: of the line, from 1.
        prompting: how it becomes a prompt.
    """
    if not data.strip():
        return None
    try:
        line = _DECODER.decode(data.decode())
    except UnicodeDecodeError as error:
        return _bad(
            number,
            f"line {number} must be UTF-8, not with byte 0x{data[error.start]:02x} at {error.start + 1}",
        )
    except (ValueError, RecursionError) as error:
        return _bad(number, f"line {number} must be JSON: {error}")
    return read_object(line, number, prompting)


def read_object(line: Any, number: int, prompting: Prompting) -> Row:
    """Return the row of an object, as `read_line` does."""
    if not isinstance(line, Mapping):
        return _bad(number, f"line {number} must be a JSON object, not {_kind(line)}")
    if _is_deep(line):
        return _bad(number, f"line {number} must be nested at most {MOST_NESTED} deep")
    if not ("prompt" in line or "messages" in line) and ("body" in line or "custom_id" in line):
        row = openai_lines.read(line, number)
    else:
        row = _plain(line, number)
    if row.embeds:
        return row
    if row.error is None and isinstance(row.prompt, list) and prompting.system is not None:
        row.prompt = _with_system(row.prompt, prompting.system)
    elif row.form == "plain" and (prompting.chat or prompting.system is not None):
        row.prompt = _with_system([{"role": "user", "content": row.prompt}], prompting.system)
    return row


def _is_deep(line: Mapping[str, Any]) -> bool:
    level: list[Any] = [line]
    for _ in range(MOST_NESTED):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, Mapping) else item)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def too_long(number: int, limit: int) -> Row:
    """Return the row of a line that is too long to be read."""
    return _bad(number, f"line {number} must be at most {limit // 2**20} MiB long")


def _bad(number: int, message: str) -> Row:
    return Row(number, "unreadable", columns={"id": number}, error=RowError("invalid_line", message))


def in_form_of_openai(row: Row) -> None:
    """Let the error of a line that cannot be read be one of OpenAI's form, as those of its file are."""
    row.form, row.custom_id, row.columns = "chat", str(row.number), {}


def _plain(line: Mapping[str, Any], number: int) -> Row:
    columns = dict(line) if line.get("id") is not None else {**line, "id": number}
    prompt, messages = line.get("prompt"), line.get("messages")
    if "input" in line and prompt is None and messages is None:
        row = Row(number, "vectors", columns=columns)
        try:
            row.prompt = openai_lines.texts_of(line["input"])
        except BadLineError as bad:
            row.error = bad.error
        return row
    row = Row(number, columns=columns)
    row.prompt = prompt if messages is None else messages
    problem = _problem(prompt, messages)
    if problem:
        row.error = RowError("invalid_request", problem)
    return row


def _problem(prompt: Any, messages: Any) -> str:
    """Return what is wrong with the prompt of a plain line, or ""."""
    if messages is None:
        if isinstance(prompt, str):
            return ""
        what = "" if prompt is None else f", not {_kind(prompt)} as its prompt"
        return (
            f"a line must have a prompt (a string), messages (a list), an input (for vectors) or a body{what}"
        )
    if prompt is not None:
        return "a line must have prompt or messages, not both"
    return "" if isinstance(messages, list) else f"messages must be a list of messages, not {_kind(messages)}"


def _with_system(messages: list[Any], system: str | None) -> list[Any]:
    roles = [message.get("role") for message in messages if isinstance(message, Mapping)]
    if system is None or "system" in roles or "developer" in roles:
        return messages
    return [{"role": "system", "content": system}, *messages]


def answer_line(row: Row, outcome: Generation | Embedding) -> bytes:
    """Return the line of an answer.

    Raises:
        ValueError: a column has a number that JSON cannot hold.
    """
    if isinstance(outcome, Embedding):
        if not row.plain:
            return encoded(openai_answers.embedded(row, outcome))
        vectors = openai_answers.vector_values(outcome)
        results = {"embedding": vectors[0] if isinstance(row.prompt, str) else vectors, "error": None}
    elif not row.plain:
        return encoded(openai_answers.answer(row, outcome))
    else:
        results = _results(outcome)
    return encoded({**without_results(row.columns), **results})


def _results(generation: Generation) -> dict[str, Any]:
    """Return what a generation adds to plain columns: tool calls, reasoning and log probabilities only where it has some."""
    reason = generation.finish_reason
    found: dict[str, Any] = {
        "output": generation.text,
        "finish_reason": None if reason is None else str(reason),
        "input_tokens": generation.usage.input_tokens,
        "output_tokens": generation.usage.output_tokens,
        "time_to_first_token": generation.timing.time_to_first_token,
    }
    if generation.tool_calls:
        found["tool_calls"] = [call.as_dict() for call in generation.tool_calls]
    if generation.reasoning is not None:
        found["reasoning"] = generation.reasoning
    if generation.logprobs is not None:
        found["logprobs"] = openai_answers.chat_logprobs(generation.logprobs)
    return {**found, "error": None}


def failure_line(row: Row, error: RowError) -> bytes:
    """Return the line of an error."""
    if not row.plain:
        return encoded(openai_answers.failure(row, error))
    nothing = ("embedding",) if row.form == "vectors" else RESULT_COLUMNS
    results = {**dict.fromkeys(nothing), "error": {"code": error.code, "message": error.message}}
    try:
        return encoded({**without_results(row.columns), **results})
    except ValueError:
        return encoded({"id": row.number, **results})


@dataclass(frozen=True, slots=True)
class Answered:
    """A line that an earlier run has written.

    Args:
        key: the line of the input that it belongs to, as `Row.key`.
        failed: whether it is an error.
    """

    key: int | str
    failed: bool


def answered(data: bytes) -> Answered | None:
    """Return what a line of an output belongs to, or None if it is no line of a batch."""
    try:
        line = _DECODER.decode(data.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or "error" not in line:
        return None
    failed = line["error"] is not None
    number = openai_lines.number_of(line)
    if number is not None:
        return Answered(number, failed)
    return Answered(key_of_columns(line), failed) if "output" in line or "embedding" in line else None


def _kind(value: Any) -> str:
    names = {
        "NoneType": "null",
        "str": "a string",
        "list": "a list",
        "dict": "an object",
        "bool": "a boolean",
    }
    return names.get(
        type(value).__name__, "a number" if isinstance(value, (int, float)) else type(value).__name__
    )
