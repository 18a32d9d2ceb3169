"""Server messages to typed errors. One table, for texts inside a stream and for details of a failed call alike.

Triton reports errors inside a stream as a text with gRPC status OK; the same text is the detail of the status when the
call is unary. The texts were seen on Triton 2.51.0; those of vLLM and TensorRT-LLM are from their sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nupic_client.errors import (
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

__all__ = ["error_from_message", "shorten", "stream_error"]


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    error: type[RequestError]
    status: str
    sentence: str
    retryable: bool = False


def _rule(
    pattern: str, error: type[RequestError], status: str, sentence: str, *, retryable: bool = False
) -> _Rule:
    return _Rule(re.compile(pattern), error, status, sentence, retryable)


_RULES = (
    _rule(
        r"Request for unknown model: '.*' has no available versions",
        ModelUnavailableError,
        "UNAVAILABLE",
        "the model is not loaded now: it is being loaded or unloaded, or the server is shutting down",
        retryable=True,
    ),
    _rule(
        r"^Exceeds maximum queue size",
        OverloadedError,
        "UNAVAILABLE",
        "the server has no capacity for this now",
        retryable=True,
    ),
    _rule(
        r"Request for unknown model: '.*' (version \S+ )?is not found"
        r"|^requested model ('.*' is not available|version is not available for model)",
        ModelUnavailableError,
        "NOT_FOUND",
        "the server has no such model or version",
    ),
    _rule(
        r"unexpected inference (input|output)"
        r"|inference input '.*' data-type is"
        r"|unexpected shape for input"
        r"|expected (number of|\d+) inputs"
        r"|inference request batch-size must be"
        r"|parameter keys starting with 'triton_'"
        r"|incomplete string (data|length indicator)"
        r"|expected \d+ string elements|unexpected number of string elements"
        r"|input byte size mismatch|unable to find data for input|All input dimensions should be specified"
        r"|^input '.*' (already exists in request|batch size does not match|has no shape)"
        r"|model version .*version should be an integral value > 0"
        r"|(Received|Sent) message larger than max",
        RequestRejectedError,
        "INVALID_ARGUMENT",
        "the request does not fit the model",
    ),
    _rule(
        r"doesn't support models with decoupled transaction policy",
        RequestRejectedError,
        "UNIMPLEMENTED",
        "the model streams and cannot be called in the request/response way",
    ),
    _rule(
        r"Stub process '.*' is not healthy",
        ModelUnavailableError,
        "UNAVAILABLE",
        "the process that runs the model on the server has died",
    ),
    _rule(
        r"Model is unavailable due to unhealthy vLLM engine",
        ModelUnavailableError,
        "UNAVAILABLE",
        "the vLLM engine that runs the model has died",
    ),
    _rule(
        r"^Request was cancelled|^Request cancelled by client",
        TransportError,
        "CANCELLED",
        "the server cancelled the request",
    ),
    _rule(
        r"^Server (exiting|not ready)|^Server is stopping|server is shutting down",
        ModelUnavailableError,
        "UNAVAILABLE",
        "the server is starting or shutting down",
        retryable=True,
    ),
)

_LONGEST = 4_000
_END = 2_000


def shorten(text: str) -> str:
    """Return a server's message; of a very long one the beginning and the end.

    The rules are matched with the shortened message: a hostile one could keep regular expressions busy for very long.
    """
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - _END]} … {text[-_END:]}"


_REQUEST_ID_PREFIX = re.compile(r"^\[request id: .*?\] ")


def error_from_message(message: str) -> RequestError | None:
    """Return the typed error for a server's message, or None if no rule matches.

    Args:
        message: the text, with or without the ``[request id: …]`` prefix that Triton puts before some.

    Returns:
        The error with ``status``, ``retryable`` and ``server_message`` set.
    """
    text = _REQUEST_ID_PREFIX.sub("", shorten(message)).strip()
    for rule in _RULES:
        if rule.pattern.search(text):
            return rule.error(
                f"{rule.sentence}: {text}",
                status=rule.status,
                retryable=rule.retryable,
                server_message=message,
            )
    return None


def stream_error(message: str) -> RequestError:
    """Return the error for an ``error_message`` inside a stream: that of a rule, else a failure of the model."""
    return error_from_message(message) or InferenceError(
        f"the model failed: {shorten(_last_line(message))}", status="INTERNAL", server_message=message
    )


def _last_line(message: str) -> str:
    """Return the line with the cause: TensorRT-LLM's BLS sends whole Python tracebacks."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines and "Traceback" in message else message.strip() or "without saying why"
