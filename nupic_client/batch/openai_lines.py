"""Lines of OpenAI's batch files: requests as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nupic_client.batch.openai_answers import PREFIX
from nupic_client.batch.openai_options import chat_options, completion_options, embedding_asks
from nupic_client.batch.row import BadLineError, Row, shown

__all__ = ["number_of", "read", "texts_of"]

_CHAT, _COMPLETIONS, _EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
_MOST_DIGITS = 18


def read(line: Mapping[str, Any], number: int) -> Row:
    """Return a row for a line; what is wrong with it is the row's error.

    Args:
        line: the object of the line.
        number: of the line.
    """
    custom_id = line.get("custom_id")
    row = Row(number, "chat", custom_id=str(number) if custom_id is None else custom_id)
    try:
        _fill(row, line)
    except BadLineError as bad:
        row.error = bad.error
    return row


def _fill(row: Row, line: Mapping[str, Any]) -> None:
    body, method = line.get("body"), line.get("method")
    if not isinstance(body, dict):
        raise BadLineError("invalid_request", f"body must be an object, not {shown(body)}")
    url = _url(line.get("url"), body)
    if method not in (None, "POST"):
        raise BadLineError("invalid_request", f"method must be 'POST', not {shown(method)}")
    row.model = _model(body.get("model"))
    if url == _CHAT:
        row.prompt, row.options = _messages(body.get("messages")), chat_options(body)
        row.asks["one_call"] = body.get("parallel_tool_calls") is False
    elif url == _COMPLETIONS:
        row.form = "completion"
        row.prompt, row.options = _text(body.get("prompt")), completion_options(body)
    else:
        row.form = "embedding"
        row.prompt, row.asks = texts_of(body.get("input")), embedding_asks(body)


def _url(url: Any, body: Mapping[str, Any]) -> str:
    if url is None:
        if "messages" in body:
            return _CHAT
        return _EMBEDDINGS if "input" in body and "prompt" not in body else _COMPLETIONS
    if not isinstance(url, str) or url not in (_CHAT, _COMPLETIONS, _EMBEDDINGS):
        raise BadLineError(
            "unsupported_url", f"url must be {_CHAT}, {_COMPLETIONS} or {_EMBEDDINGS}, not {shown(url)}"
        )
    return url


def _model(model: Any) -> str:
    if model is None:
        return ""
    if not isinstance(model, str) or not model:
        raise BadLineError("invalid_request", f"model must be a non-empty string, not {shown(model)}")
    return model


def _messages(messages: Any) -> list[Any]:
    if not isinstance(messages, list):
        raise BadLineError("invalid_request", f"messages must be a list of messages, not {shown(messages)}")
    return messages


def _text(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if not isinstance(prompt, str):
        raise BadLineError("invalid_request", f"prompt must be one string, not {shown(prompt)}")
    return prompt


def texts_of(value: Any) -> str | list[str]:
    """Return the input of an embedding.

    Raises:
        BadLineError: it is no text and no list of texts.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        return value
    what = shown(value)
    if isinstance(value, list):
        wrong = next((item for item in value if not isinstance(item, str)), None)
        what = "one with " + shown(wrong) if value else "an empty one"
        if isinstance(wrong, (int, list)):
            what = "token ids"
    raise BadLineError("invalid_request", f"input must be a string or a list of strings, not {what}")


def number_of(line: Mapping[str, Any]) -> int | None:
    """Return the number of the line that an answer belongs to, or None if it is no answer of this form."""
    name = line.get("id")
    if "custom_id" not in line or "response" not in line or not isinstance(name, str):
        return None
    number = name.removeprefix(PREFIX)
    whole = number != name and number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
    return int(number) if whole else None
