"""The meaning of a gRPC status: one table, for sync and async calls."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import grpc

from nupic_client._core.calls.flows import SentMetadata
from nupic_client._core.kserve.error_messages import error_from_message
from nupic_client._core.kserve.http_statuses import UNAVAILABLE, whole_seconds
from nupic_client._core.kserve.server_words import core_of, shorten
from nupic_client._grpc.connection_words import Reading, gateway_failure, is_of_grpc, unreachable
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

__all__ = ["STATUS_TABLE", "BrokenCallError", "call_error", "cause_of", "error_from_rpc"]

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

_UNREADABLE = "Exception deserializing response!"
"""gRPC's own details, with the status INTERNAL, for bytes that are not a message."""
_NOT_HTTP2 = "Failed parsing HTTP/2"
"""Its details, with various statuses, for bytes that are not an HTTP/2 frame. No model server uses these words."""


class BrokenCallError(grpc.RpcError):  # type: ignore[misc]  # grpc is not typed
    """The end of a call that is not gRPC's, for those who read calls of both kinds.

    Args:
        failure: our error for it.
    """

    def __init__(self, failure: RequestError) -> None:
        super().__init__(failure)
        self.failure = failure


def error_from_rpc(
    error: grpc.RpcError, target: str = "", call: object = None, *, streamed: bool = False
) -> RequestError:
    """Return our error for a failed call; what the server says in words counts more than the bare status.

    Args:
        error: as raised by a sync call or a ``grpc.aio`` call, or by an interceptor.
        target: the server, for the texts.
        call: the call, which knows its metadata where the error of an interceptor does not.
        streamed: whether it is a call for a stream.

    Returns:
        The error with ``status``, ``server_message`` and ``retryable`` set; raise it ``from`` `cause_of` both.
    """
    if isinstance(error, BrokenCallError):
        return error.failure
    # Sync and async errors both have these, though their common base class does not declare them. That of an interceptor
    # may lack them, and be raised from one that has them.
    found = _fact("code", error, error.__cause__)
    code = found if isinstance(found, grpc.StatusCode) else grpc.StatusCode.UNKNOWN
    details = str(_fact("details", error, error.__cause__) or ("" if hasattr(error, "details") else error))
    if (
        details == _UNREADABLE
    ):  # grpc.aio has no error for it, so the error has no status in sync calls either
        return ProtocolError("the server sent a response that cannot be read")
    trailing = _metadata("trailing_metadata", error, error.__cause__, call)
    reading = _of_grpc(code, details, target, trailing) or gateway_failure(details, streamed=streamed)
    if reading is not None:
        failure = reading.error(reading.message, server_message=details, retryable=reading.retryable)
    else:
        failure = error_from_message(details) or _unknown(code, details)
    pause = _pause(trailing, error, failure)
    return failure.with_facts(status=code.name, retry_after=pause, trailing_metadata=trailing)


def _unknown(code: grpc.StatusCode, details: str) -> RequestError:
    """Return the error for a status whose text is not known."""
    kind, sentence, retryable = STATUS_TABLE[code]
    if code is grpc.StatusCode.UNAVAILABLE:  # a server that words a failure was reached
        kind, sentence, retryable = UNAVAILABLE.error, UNAVAILABLE.sentence, UNAVAILABLE.retryable
    shown = "" if kind is DeadlineExceededError else core_of(details)
    message = f"{sentence}: {shown}" if shown else sentence
    return kind(message, server_message=details, retryable=retryable)


def _of_grpc(code: grpc.StatusCode, details: str, target: str, trailing: SentMetadata) -> Reading | None:
    """Return the reading of a status that gRPC itself made because the connection failed; else None."""
    own = code is grpc.StatusCode.UNAVAILABLE and is_of_grpc(details) and not trailing
    reading = unreachable(details, target) if own else None
    if _NOT_HTTP2 in details and (reading is None or reading.retryable):
        # gRPC ends the connection, or at least the stream: the next one may be sound.
        message = f"the answer was damaged on its way: {shorten(details)}"
        return Reading(ProtocolError, message, retryable=True)
    return reading


def cause_of(failure: RequestError, error: BaseException) -> BaseException | None:
    """Return the cause to raise an error from: gRPC's own, unless that says nothing more, only longer."""
    if isinstance(error, BrokenCallError):
        return error.__cause__ if error.__cause__ is not error.failure else None
    return None if isinstance(failure, ConnectionFailedError) else error


def call_error(error: grpc.RpcError, *, target: str, closed: bool) -> RequestError:
    """Return our error for a unary call that failed.

    Args:
        error: as for `error_from_rpc`.
        target: the server.
        closed: whether the client was closed, which cancels its calls.
    """
    failure = error_from_rpc(error, target)
    if closed and failure.status == "CANCELLED":
        message = "the client was closed before the answer came"
        return failure.with_facts(target=target, message=message, retryable=False)
    return failure.with_facts(target=target)


def _pause(trailing: SentMetadata, error: grpc.RpcError, failure: RequestError) -> float | None:
    """Return the seconds after which the server wants the call repeated, negative for never.

    gRPC's own word for it is gRFC A6's pushback, https://github.com/grpc/proposal/blob/master/A6-client-retries.md; a
    gateway says it in HTTP's header, which gRPC passes on where the gateway answers as gRPC does.
    """
    for name, value in trailing:
        if name == "grpc-retry-pushback-ms":
            try:
                return int(value) / 1000
            except (ValueError, OverflowError):
                return -1.0  # the proposal: what cannot be read means "do not retry"
    if not failure.retryable:
        return None
    for name, value in (*trailing, *_metadata("initial_metadata", error)):
        if name == "retry-after" and isinstance(value, str) and (pause := whole_seconds(value)) is not None:
            return pause
    return None


def _metadata(which: str, *sources: object) -> SentMetadata:
    return tuple((name, value) for name, value in _fact(which, *sources) or ())


def _fact(name: str, *sources: object) -> Any:
    """Return what the first of these says that knows a fact; None where none does."""
    for source in sources:
        method = getattr(source, name, None)  # an error made before anything was sent may lack it
        with contextlib.suppress(Exception):  # of other people's classes
            found = method() if callable(method) else None
            if found:
                return found
    return None
