"""What a status of HTTP means by itself: the same for answers over HTTP and for those that gRPC gets from a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple

from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    RequestError,
    RequestRejectedError,
)

__all__ = ["HTTP_STATUSES", "UNAVAILABLE", "HttpMeaning", "phrase", "whole_seconds"]


class HttpMeaning(NamedTuple):
    """What a status means: class, status of gRPC, sentence, and whether the request may be sent again."""

    error: type[RequestError]
    status: str
    sentence: str
    retryable: bool = False


_UNFIT = HttpMeaning(RequestRejectedError, "INVALID_ARGUMENT", "the request does not fit the model")
_NOT_OFFERED = HttpMeaning(RequestRejectedError, "UNIMPLEMENTED", "the server does not offer this call")
_NO_SERVER = HttpMeaning(
    ConnectionFailedError,
    "UNAVAILABLE",
    "the gateway does not reach the server, or it is not ready",
    retryable=True,
)
_GAVE_UP = HttpMeaning(
    ConnectionFailedError, "UNAVAILABLE", "the gateway gave up waiting for the server", retryable=True
)
UNAVAILABLE = HttpMeaning(
    ModelUnavailableError, "UNAVAILABLE", "the server says that it is unavailable", retryable=True
)
"""Of 503 and gRPC's UNAVAILABLE with the server's own words: a server that words a failure was reached."""

HTTP_STATUSES: Mapping[int, HttpMeaning] = MappingProxyType(
    {
        400: _UNFIT,
        401: HttpMeaning(AuthenticationError, "UNAUTHENTICATED", "the server wants valid credentials"),
        403: HttpMeaning(AuthenticationError, "PERMISSION_DENIED", "these credentials do not allow it"),
        404: HttpMeaning(ModelUnavailableError, "NOT_FOUND", "the server does not have it"),
        405: _NOT_OFFERED,
        407: HttpMeaning(AuthenticationError, "UNAUTHENTICATED", "the proxy wants valid credentials"),
        408: _GAVE_UP,
        413: HttpMeaning(
            RequestRejectedError,
            "INVALID_ARGUMENT",
            "the request is too large for the server or a proxy before it",
        ),
        422: _UNFIT,
        429: HttpMeaning(
            OverloadedError, "RESOURCE_EXHAUSTED", "the server has no capacity for this now", retryable=True
        ),
        500: HttpMeaning(InferenceError, "INTERNAL", "the server failed"),
        501: _NOT_OFFERED,
        502: _NO_SERVER,
        503: _NO_SERVER,
        504: _GAVE_UP,
    }
)
"""The statuses with a meaning of their own."""


def phrase(status: int) -> str:
    """Return the name of a status in brackets; "" for one that has none."""
    try:
        return f"({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def whole_seconds(text: str) -> float | None:
    """Return the seconds that a ``retry-after`` has as a number; None for all else."""
    return float(text[:9]) if text.isascii() and text.isdigit() else None
