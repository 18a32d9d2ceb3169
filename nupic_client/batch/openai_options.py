"""The keys of a body of OpenAI's: options of a generation, what a batch cannot serve, and what says nothing here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from nupic_client.batch.row import BadLineError, shown

__all__ = ["chat_options", "completion_options", "embedding_asks"]

_log = logging.getLogger("nupic_client.batch")

_OPTIONS = {
    **{
        name: name
        for name in ("temperature", "top_p", "top_k", "min_p", "stop", "seed", "repetition_penalty")
    },
    **{name: name for name in ("presence_penalty", "frequency_penalty", "max_tokens", "response_format")},
    "max_completion_tokens": "max_tokens",
}
"""Keys that are options of a generation as they are."""
_CHAT_OPTIONS = {**_OPTIONS, "tools": "tools", "tool_choice": "tool_choice"}

_NOTHING: tuple[Any, ...] = (None, False, 0, "", [], {})
_Allowed = Callable[[Any], bool]
_REFUSED: Mapping[str, tuple[_Allowed, str]] = {
    "n": (lambda value: value == 1, ": give a line for each answer"),
    "best_of": (lambda value: value == 1, ""),
    **dict.fromkeys(
        ("echo", "suffix", "logit_bias", "functions", "audio", "prediction"), (lambda _: False, "")
    ),
}
"""Keys that ask for another answer than a batch can write, with the values that do not."""
_REFUSED_IN_CHAT = {**_REFUSED, "functions": (lambda _: False, ": give tools")}
_REFUSED_IN_COMPLETIONS = {
    **_REFUSED,
    **dict.fromkeys(("tools", "top_logprobs"), (lambda _: False, ": give url /v1/chat/completions")),
    "tool_choice": (lambda value: value in ("none", "auto"), ": give url /v1/chat/completions"),
}
_IGNORED = frozenset(
    {
        *("model", "messages", "prompt", "input", "stream", "stream_options", "user", "metadata", "store"),
        *("function_call", "service_tier", "modalities", "safety_identifier", "prompt_cache_key"),
        *("logprobs", "top_logprobs", "parallel_tool_calls", "encoding_format", "dimensions"),
    }
)
"""Keys that are read elsewhere, or say nothing about the answer."""
_MOST_TOP_LOGPROBS = 20
_told: set[str] = set()
_MOST_TOLD = 100


def chat_options(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a generation that the body of a chat asks for.

    Raises:
        BadLineError: it asks for what a batch cannot serve.
    """
    options = _options(body, _CHAT_OPTIONS, _REFUSED_IN_CHAT)
    tools = options.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise BadLineError("invalid_request", f"tools must be a list of objects, not {shown(tools)}")
    _check_flag(body, "parallel_tool_calls")
    logprobs, most = body.get("logprobs"), body.get("top_logprobs")
    _check_flag(body, "logprobs")
    if most is not None:
        _check_count("top_logprobs", most, 0, _MOST_TOP_LOGPROBS)
        if most and not logprobs:
            raise BadLineError("invalid_request", "logprobs must be true where top_logprobs is given")
    if logprobs:
        options["logprobs"] = most or True
    return options


def completion_options(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a generation that the body of a completion asks for.

    Raises:
        BadLineError: it asks for what a batch cannot serve.
    """
    options = _options(body, _OPTIONS, _REFUSED_IN_COMPLETIONS)
    most = body.get("logprobs")
    if most is not None and most is not False:
        if most is not True:
            _check_count("logprobs", most, 0, _MOST_TOP_LOGPROBS)
        options["logprobs"] = most or True  # with 0 OpenAI tells of the chosen tokens, too
    return options


def embedding_asks(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the body of an embedding asks of its vectors: ``encoding_format`` and ``dimensions``.

    Raises:
        BadLineError: one of them has a value that it cannot have.
    """
    form, dimensions = body.get("encoding_format"), body.get("dimensions")
    if form not in (None, "float", "base64"):
        raise BadLineError(
            "invalid_request", f"encoding_format must be 'float' or 'base64', not {shown(form)}"
        )
    if dimensions is not None:
        _check_count("dimensions", dimensions, 1, None)
    for key in body:
        if key not in _IGNORED:
            _tell(key)
    return {"encoding_format": form or "float", "dimensions": dimensions}


def _options(
    body: Mapping[str, Any], known: Mapping[str, str], refused: Mapping[str, tuple[_Allowed, str]]
) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, value in body.items():
        if key in known:
            if value is not None and value != []:
                options[known[key]] = value
        elif key in refused:
            allowed, advice = refused[key]
            if value not in _NOTHING and not allowed(value):
                raise BadLineError(
                    "unsupported_parameter", f"{key} must be left out of a batch, not {shown(value)}{advice}"
                )
        elif key not in _IGNORED:
            _tell(key)
    seed = options.get("seed")
    if isinstance(seed, int) and seed < 0:  # OpenAI takes all of 64 bits with a sign
        options["seed"] = seed % 2**64
    return options


def _tell(key: str) -> None:
    if key not in _told and len(_told) < _MOST_TOLD:
        _told.add(key)
        _log.warning("unknown keys of a body are ignored, as %r: told once for each key", key)


def _check_flag(body: Mapping[str, Any], key: str) -> None:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadLineError("invalid_request", f"{key} must be true or false, not {shown(value)}")


def _check_count(key: str, value: Any, low: int, high: int | None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        allowed = f">= {low}" if high is None else f"from {low} to {high}"
        raise BadLineError("invalid_request", f"{key} must be a whole number {allowed}, not {shown(value)}")
