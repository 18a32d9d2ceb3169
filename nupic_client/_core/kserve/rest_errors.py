"""The meaning of a status of HTTP, with the server's words where it has any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType

from nupic_client._core.kserve.error_messages import error_from_message, shorten
from nupic_client.errors import (
    AuthenticationError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

__all__ = ["error_from_http"]

_NOT_OFFERED = (RequestRejectedError, "UNIMPLEMENTED", "the server does not offer this call")
_UNFIT = (RequestRejectedError, "INVALID_ARGUMENT", "the request does not fit the model")
_GAVE_UP = (DeadlineExceededError, "DEADLINE_EXCEEDED", "the gateway gave up waiting for the server")
_NO_SERVER = (TransportError, "UNAVAILABLE", "the gateway does not reach the server, or it is not ready")

_TABLE: Mapping[int, tuple[type[RequestError], str, str]] = MappingProxyType(
    {
        400: _UNFIT,
        401: (AuthenticationError, "UNAUTHENTICATED", "the server wants valid credentials"),
        403: (AuthenticationError, "PERMISSION_DENIED", "these credentials do not allow it"),
        404: (ModelUnavailableError, "NOT_FOUND", "the server does not have it"),
        405: _NOT_OFFERED,
        408: _GAVE_UP,
        413: (
            RequestRejectedError,
            "INVALID_ARGUMENT",
            "the request is too large for the server or a proxy before it",
        ),
        422: _UNFIT,
        429: (OverloadedError, "RESOURCE_EXHAUSTED", "the server has no capacity for this now"),
        500: (InferenceError, "INTERNAL", "the server failed"),
        501: _NOT_OFFERED,
        502: _NO_SERVER,
        503: _NO_SERVER,
        504: _GAVE_UP,
    }
)
"""Class, status of gRPC and sentence. Those of the same cause over gRPC are the same."""
_RETRYABLE = frozenset({429, 502, 503})


def error_from_http(status: int, body: bytes, headers: Message, *, optional: bool = False) -> RequestError:
    """Return the error for an answer that is none; what the server says in words counts more than the bare status.

    Args:
        status: of the answer.
        body: its body, or the beginning of a long one.
        headers: of the answer.
        optional: whether servers of the protocol need not have the resource, so that a status may say that it is not there.
    """
    words = _words(body)
    known = error_from_message(words)
    pause = _pause(headers)
    if known is not None:
        return known.with_facts(retry_after=pause)
    if 300 <= status < 400:
        place = shorten(headers.get("Location") or "elsewhere")
        return RequestRejectedError(
            f"the server redirects to {place!r}, which is not followed: give the url where it is",
            status="FAILED_PRECONDITION",
        )
    if not 400 <= status < 600:
        return ProtocolError(f"the server answered with the status {status}, which means nothing here")
    kind, name, sentence = _TABLE.get(status) or (
        (RequestRejectedError, "FAILED_PRECONDITION", "the server refused")
        if status < 500
        else (InferenceError, "UNKNOWN", "the server failed")
    )
    if optional and status == 404:
        kind, name, sentence = _NOT_OFFERED
    said = words or f"it answered {status} {_phrase(status)}".strip()
    if kind is DeadlineExceededError or (kind is TransportError and not words):
        said = f"it answered {status} {_phrase(status)}".strip()
    return kind(
        f"{sentence}: {shorten(said)}",
        status=name,
        server_message=words,
        retryable=status in _RETRYABLE,
        retry_after=pause,
    )


def _phrase(status: int) -> str:
    try:
        return f"({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def _words(body: bytes) -> str:
    """Return what the server says in a body: ``error`` of KServe's JSON, ``detail`` of FastAPI's, or a plain text."""
    text = body.decode(errors="replace").strip()
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.startswith("<") else text  # a page of a proxy, for browsers
    if isinstance(answer, dict):
        for name in ("error", "detail", "message"):
            value = answer.get(name)
            if value:
                return value if isinstance(value, str) else json.dumps(value)
    return text


def _pause(headers: Message) -> float | None:
    """Return the seconds after which the server wants the request again: a number, or a date by the server's own clock."""
    wanted = headers.get("Retry-After") or ""
    if wanted.isascii() and wanted.isdigit():
        return float(wanted[:9])
    try:
        pause = parsedate_to_datetime(wanted) - parsedate_to_datetime(headers.get("Date") or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return max(pause.total_seconds(), 0.0)
