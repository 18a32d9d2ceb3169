"""The meaning of a gRPC status: one table, for sync and async calls."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import grpc

from nupic_client._core.calls.tls_advice import tls_advice
from nupic_client._core.kserve.error_messages import error_from_message, shorten
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

__all__ = ["STATUS_TABLE", "call_error", "error_from_rpc"]

STATUS_TABLE: Mapping[grpc.StatusCode, tuple[type[RequestError], str, bool]] = MappingProxyType(
    {
        grpc.StatusCode.CANCELLED: (TransportError, "the server cancelled the call", True),
        grpc.StatusCode.UNKNOWN: (InferenceError, "the server failed", False),
        grpc.StatusCode.INVALID_ARGUMENT: (RequestRejectedError, "the request does not fit the model", False),
        grpc.StatusCode.DEADLINE_EXCEEDED: (DeadlineExceededError, "no complete answer in time", False),
        grpc.StatusCode.NOT_FOUND: (ModelUnavailableError, "the server does not have it", False),
        grpc.StatusCode.ALREADY_EXISTS: (RequestRejectedError, "it exists already", False),
        grpc.StatusCode.PERMISSION_DENIED: (AuthenticationError, "these credentials do not allow it", False),
        grpc.StatusCode.UNAUTHENTICATED: (AuthenticationError, "the server wants valid credentials", False),
        grpc.StatusCode.RESOURCE_EXHAUSTED: (
            OverloadedError,
            "the server has no capacity for this now",
            True,
        ),
        grpc.StatusCode.FAILED_PRECONDITION: (
            RequestRejectedError,
            "the server's state does not allow it",
            False,
        ),
        grpc.StatusCode.ABORTED: (TransportError, "the server aborted the call", True),
        grpc.StatusCode.OUT_OF_RANGE: (RequestRejectedError, "a value is out of range", False),
        grpc.StatusCode.UNIMPLEMENTED: (RequestRejectedError, "the server does not offer this call", False),
        grpc.StatusCode.INTERNAL: (InferenceError, "the server failed", False),
        grpc.StatusCode.UNAVAILABLE: (ConnectionFailedError, "cannot reach the server", True),
        grpc.StatusCode.DATA_LOSS: (ProtocolError, "the answer was damaged on its way", False),
        grpc.StatusCode.OK: (ProtocolError, "the call ended without an answer", False),
    }
)
"""For every status the class of the error, its sentence, and whether the request may be sent again."""

_CLOSED_AT_ONCE = "last error: UNAVAILABLE"
_CLOSED_ADVICE = (
    "the server closed the connection at once: it may want TLS (a grpcs:// url) or a client certificate"
    " (TLS(certificate_chain=…, private_key=…))"
)

_PINGS_ADVICE = (
    "the server ended the connection because it was pinged too often: raise grpc.keepalive_time_ms in channel_options"
    " (300000 is what servers allow by default)"
)


def _connection_failure(details: str) -> tuple[str, bool]:
    """Return a sentence for a connection that failed, and whether trying again may help."""
    advice = tls_advice(details, "grpc")
    if advice is not None:
        return advice, False
    if "too_many_pings" in details or "Too many pings" in details:
        return _PINGS_ADVICE, True
    # A server that is just going down does the same, so another attempt may help.
    return (_CLOSED_ADVICE if _CLOSED_AT_ONCE in details else "cannot reach the server"), True


_UNREADABLE = "Exception deserializing response!"
"""gRPC's own details, with the status INTERNAL, for bytes that are not a message."""
_NOT_HTTP2 = "Failed parsing HTTP/2"
"""Its details, with various statuses, for bytes that are not an HTTP/2 frame. No model server uses these words."""


def error_from_rpc(error: grpc.RpcError) -> RequestError:
    """Return our error for a failed call; the server's words count more than the bare status.

    Args:
        error: as raised by a sync call or a ``grpc.aio`` call.

    Returns:
        The error with ``status``, ``server_message`` and ``retryable`` set; raise it ``from`` the given one.
    """
    # Sync and async errors both have these two, though their common base class does not declare them.
    code: grpc.StatusCode = error.code() or grpc.StatusCode.UNKNOWN
    details: str = error.details() or ""
    if (
        details == _UNREADABLE
    ):  # grpc.aio has no error for it, so the error has no status in sync calls either
        return ProtocolError("the server sent a response that cannot be read")
    pushback = _pushback(error)
    known = error_from_message(details)
    if known is not None:
        return known.with_facts(status=code.name, retry_after=pushback)
    kind, sentence, retryable = STATUS_TABLE[code]
    if kind is ConnectionFailedError:
        sentence, retryable = _connection_failure(details)
    if _NOT_HTTP2 in details:
        # gRPC ends the connection, or at least the stream: the next one may be fine.
        kind, sentence, retryable = ProtocolError, "the answer was damaged on its way", True
    shown = "" if kind is DeadlineExceededError else shorten(details)
    return kind(
        f"{sentence}: {shown}" if shown else sentence,
        status=code.name,
        server_message=details,
        retryable=retryable,
        retry_after=pushback,
    )


def call_error(error: grpc.RpcError, *, target: str, closed: bool) -> RequestError:
    """Return our error for a unary call that failed.

    Args:
        error: as for `error_from_rpc`.
        target: the server.
        closed: whether the client was closed, which cancels its calls.
    """
    failure = error_from_rpc(error)
    if closed and failure.status == "CANCELLED":
        message = "the client was closed before the answer came"
        return failure.with_facts(target=target, message=message, retryable=False)
    return failure.with_facts(target=target)


def _pushback(error: grpc.RpcError) -> float | None:
    """Return the seconds after which the server wants the call repeated, negative for never.

    Source: gRFC A6, https://github.com/grpc/proposal/blob/master/A6-client-retries.md (pushback).
    """
    trailing = getattr(error, "trailing_metadata", None)  # an error from before the request was sent has none
    for name, value in (trailing() if trailing is not None else None) or ():
        if name == "grpc-retry-pushback-ms":
            try:
                return int(value) / 1000
            except (ValueError, OverflowError):
                return -1.0  # by the proposal a value that cannot be read means "do not retry"
    return None
