"""The meaning of a gRPC status: one table, for sync and async calls."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import grpc

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
"""Class, sentence and whether it may be sent again, for every status a call can end with."""

_TRUST = "give the authority that signed it as TLS(root_certificates=…)"
_NAME = "use the name it was made for in the url, or give it as TLS(target_name=…)"
_FILES = "check that they are PEM, and that private_key is the key of certificate_chain"
_TLS_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "certificate has expired": "the server's certificate has expired: it needs a new one",
        "certificate is not yet valid": "the server's certificate is not valid yet: compare the clocks of both machines",
        "Hostname Verification Check failed": f"the server's certificate is for another name: {_NAME}",
        "self signed certificate": f"the server's certificate is self-signed: {_TRUST}",
        "self-signed certificate": f"the server's certificate is self-signed: {_TRUST}",
        "CERTIFICATE_VERIFY_FAILED": f"the server's certificate is of an authority that is not trusted here: {_TRUST}",
        "WRONG_VERSION_NUMBER": "the server does not speak TLS on this port: use grpc://, or another port",
        "security handshaker": f"the certificates that were given for TLS do not work: {_FILES}",
        "Tls handshake failed": "the TLS handshake with the server failed",
    }
)
"""What gRPC's words for a handshake that failed mean, the first that are found; trying again cannot help.

The words are those of gRPC 1.85 and of BoringSSL. Where they change, the general sentence with gRPC's own text is left.
"""
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
    for words, advice in _TLS_ADVICE.items():
        if words in details:
            return advice, False
    if "too_many_pings" in details or "Too many pings" in details:
        return _PINGS_ADVICE, True
    # Also what a server does that is just going down, so it may be worth another try.
    return (_CLOSED_ADVICE if _CLOSED_AT_ONCE in details else "cannot reach the server"), True


_UNREADABLE = "Exception deserializing response!"
"""What gRPC itself says, with the status INTERNAL, of bytes that are no message."""
_NOT_HTTP2 = "Failed parsing HTTP/2"
"""What it says, with various statuses, of bytes that are no frame. No server of models says so."""


def error_from_rpc(error: grpc.RpcError, call: object = None) -> RequestError:
    """Return our error for a failed call; what the server says in words counts more than the bare status.

    Args:
        error: as raised by a sync call or a ``grpc.aio`` call, or by an interceptor.
        call: the call, which knows its trailing metadata where the error of an interceptor does not.

    Returns:
        The error with ``status``, ``server_message`` and ``retryable`` set; raise it ``from`` the given one.
    """
    # Sync and async errors both have these, though their common base class does not declare them. That of an interceptor
    # may lack them, and be raised from one that has them.
    found = _fact("code", error, error.__cause__)
    code = found if isinstance(found, grpc.StatusCode) else grpc.StatusCode.UNKNOWN
    details = str(_fact("details", error, error.__cause__) or ("" if hasattr(error, "details") else error))
    if (
        details == _UNREADABLE
    ):  # grpc.aio has no error for it, so that neither sync nor async calls give it a status
        return ProtocolError("the server sent a response that cannot be read")
    pushback = _pushback(_fact("trailing_metadata", error, error.__cause__, call))
    known = error_from_message(details)
    if known is not None:
        return known.with_facts(status=code.name, retry_after=pushback)
    kind, sentence, retryable = STATUS_TABLE[code]
    if kind is ConnectionFailedError:
        sentence, retryable = _connection_failure(details)
    if _NOT_HTTP2 in details:
        # gRPC ends the connection, or at least the stream: the next one may be sound.
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


def _fact(name: str, *sources: object) -> Any:
    """Return what the first of these says that knows a fact; None where nobody does."""
    for source in sources:
        method = getattr(source, name, None)
        with contextlib.suppress(
            Exception
        ):  # an error that was made before anything was sent, and others' classes
            found = method() if callable(method) else None
            if found:
                return found
    return None


def _pushback(trailing: Any) -> float | None:
    """Return the seconds after which the server wants the call repeated, negative for never.

    Source: gRFC A6, https://github.com/grpc/proposal/blob/master/A6-client-retries.md (pushback).
    """
    for name, value in trailing or ():
        if name == "grpc-retry-pushback-ms":
            try:
                return int(value) / 1000
            except (ValueError, OverflowError):
                return -1.0  # the proposal: what cannot be read means "do not retry"
    return None
