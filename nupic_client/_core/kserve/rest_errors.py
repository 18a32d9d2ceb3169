"""The meaning of a status of HTTP, with the server's words where it has any."""

from __future__ import annotations

import json
from email.message import Message
from email.utils import parsedate_to_datetime

from nupic_client._core.kserve.error_messages import error_from_message
from nupic_client._core.kserve.http_statuses import (
    HTTP_STATUSES,
    UNAVAILABLE,
    HttpMeaning,
    phrase,
    whole_seconds,
)
from nupic_client._core.kserve.server_words import core_of, shorten
from nupic_client.errors import (
    ConnectionFailedError,
    InferenceError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
)

__all__ = ["error_from_http"]


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
    meaning = HTTP_STATUSES[405] if optional and status == 404 else HTTP_STATUSES.get(status)
    if meaning is None:
        meaning = _REFUSED if status < 500 else _FAILED
    elif words and status == 503:  # a gateway has no words: the server itself answered
        meaning = UNAVAILABLE
    answered = f"it answered {status} {phrase(status)}".strip()
    said = answered if meaning.error is ConnectionFailedError else words or answered
    return meaning.error(
        f"{meaning.sentence}: {core_of(said)}",
        status=meaning.status,
        server_message=words,
        retryable=meaning.retryable,
        retry_after=pause,
    )


_REFUSED = HttpMeaning(RequestRejectedError, "FAILED_PRECONDITION", "the server refused")
_FAILED = HttpMeaning(InferenceError, "UNKNOWN", "the server failed")


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
    seconds = whole_seconds(wanted)
    if seconds is not None:
        return seconds
    try:
        pause = parsedate_to_datetime(wanted) - parsedate_to_datetime(headers.get("Date") or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return max(pause.total_seconds(), 0.0)
