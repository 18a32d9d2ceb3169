"""Lines of OpenAI's batch files: requests as they come, and answers as they are written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from nupic_client.batch.row import BadLineError, Row, RowError
from nupic_client.results import FinishReason, Generation

__all__ = ["answer", "failure", "number_of", "read"]

_log = logging.getLogger("nupic_client.batch")

_CHAT, _COMPLETIONS, _EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
_PREFIX = "batch_req_"
"""Before the number of the line in an answer's id, by which a resumed run knows it."""

_OPTIONS = {
    **{
        name: name
        for name in ("temperature", "top_p", "top_k", "min_p", "stop", "seed", "repetition_penalty")
    },
    **{name: name for name in ("presence_penalty", "frequency_penalty", "max_tokens")},
    "max_completion_tokens": "max_tokens",
    "response_format": "response_format",
}
"""Keys of a body that are options of a generation."""

_NOTHING: tuple[Any, ...] = (None, False, 0, "", [], {})
_REFUSED: Mapping[str, Callable[[Any], bool]] = {
    "n": lambda value: value == 1,
    "best_of": lambda value: value == 1,
    "tool_choice": lambda value: value in ("none", "auto"),
    **dict.fromkeys(
        (
            "logprobs",
            "top_logprobs",
            "echo",
            "suffix",
            "logit_bias",
            "tools",
            "functions",
            "audio",
            "prediction",
        ),
        lambda _: False,
    ),
}
"""Keys that ask for another answer than a batch can write, with the values that do not."""
_IGNORED = {
    "model",
    "messages",
    "prompt",
    "stream",
    "stream_options",
    "user",
    "metadata",
    "store",
    "function_call",
}
_IGNORED |= {"service_tier", "parallel_tool_calls", "modalities", "safety_identifier", "prompt_cache_key"}
_told: set[str] = set()
_MOST_TOLD = 100


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
        raise BadLineError("invalid_request", f"body must be an object, not {_shown(body)}")
    url = line.get("url")
    if url is None:
        url = _CHAT if "messages" in body else _COMPLETIONS
    if url == _EMBEDDINGS:
        raise BadLineError(
            "unsupported_url",
            f"url must be {_CHAT} or {_COMPLETIONS}, not {_EMBEDDINGS}: InferenceClient.embed and nupic-client embed"
            " turn texts into vectors",
        )
    if url not in (_CHAT, _COMPLETIONS):
        raise BadLineError("unsupported_url", f"url must be {_CHAT} or {_COMPLETIONS}, not {_shown(url)}")
    row.form = "chat" if url == _CHAT else "completion"
    if method not in (None, "POST"):
        raise BadLineError("invalid_request", f"method must be 'POST', not {_shown(method)}")
    row.model = _model(body.get("model"))
    row.prompt = _messages(body.get("messages")) if row.form == "chat" else _text(body.get("prompt"))
    row.options = _options(body)


def _model(model: Any) -> str:
    if model is None:
        return ""
    if not isinstance(model, str) or not model:
        raise BadLineError("invalid_request", f"model must be a non-empty string, not {_shown(model)}")
    return model


def _messages(messages: Any) -> list[Any]:
    if not isinstance(messages, list):
        raise BadLineError("invalid_request", f"messages must be a list of messages, not {_shown(messages)}")
    return messages


def _text(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if not isinstance(prompt, str):
        raise BadLineError("invalid_request", f"prompt must be one string, not {_shown(prompt)}")
    return prompt


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, value in body.items():
        if key in _OPTIONS:
            if value is not None and value != []:
                options[_OPTIONS[key]] = value
        elif key in _REFUSED:
            if value not in _NOTHING and not _REFUSED[key](value):
                raise BadLineError(
                    "unsupported_parameter", f"{key} must be left out of a batch, not {_shown(value)}"
                )
        elif key not in _IGNORED and key not in _told and len(_told) < _MOST_TOLD:
            _told.add(key)
            _log.warning("unknown keys of a body are ignored, as %r: told once for each key", key)
    seed = options.get("seed")
    if isinstance(seed, int) and seed < 0:  # OpenAI takes all of 64 bits with a sign
        options["seed"] = seed % 2**64
    return options


def answer(row: Row, generation: Generation) -> dict[str, Any]:
    """Return the object of the line for a generation."""
    reason = generation.finish_reason
    usage = generation.usage
    choice = {
        "index": 0,
        **(
            {"message": {"role": "assistant", "content": generation.text}}
            if row.form == "chat"
            else {"text": generation.text}
        ),
        "logprobs": None,
        "finish_reason": reason.value
        if reason in {FinishReason.STOP, FinishReason.LENGTH} and reason
        else None,
    }
    body = {
        "id": f"{'chatcmpl' if row.form == 'chat' else 'cmpl'}-{generation.request_id}",
        "object": "chat.completion" if row.form == "chat" else "text_completion",
        "created": int(time.time()),
        "model": generation.model,
        "choices": [choice],
        "usage": None
        if usage.total_tokens is None
        else {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        },
    }
    response = {"status_code": 200, "request_id": generation.request_id, "body": body}
    return {"id": f"{_PREFIX}{row.number}", "custom_id": row.custom_id, "response": response, "error": None}


def failure(row: Row, error: RowError) -> dict[str, Any]:
    """Return the object of the line for an error."""
    return {
        "id": f"{_PREFIX}{row.number}",
        "custom_id": row.custom_id,
        "response": None,
        "error": {"code": error.code, "message": error.message},
    }


def number_of(line: Mapping[str, Any]) -> int | None:
    """Return the number of the line that an answer belongs to, or None if it is no answer of this form."""
    name = line.get("id")
    if "custom_id" not in line or "response" not in line or not isinstance(name, str):
        return None
    number = name.removeprefix(_PREFIX)
    return int(number) if number != name and number.isascii() and number.isdigit() else None


def _shown(value: Any) -> str:
    """Return a value for an error's text: the beginning of a text, else its type."""
    if value is None:
        return "missing or null"
    if isinstance(value, (str, int, float)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:60]}…"
    return {"list": "a list", "dict": "an object"}.get(type(value).__name__, type(value).__name__)
