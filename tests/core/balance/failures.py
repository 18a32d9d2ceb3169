"""Failures of requests by name, as the transports make them."""

from __future__ import annotations

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


def _of(kind: type[RequestError], words: str, *, retryable: bool = True) -> RequestError:
    return kind(words, server_message=words, retryable=retryable)


FAILURES = {
    "refused": _of(
        ConnectionFailedError, "failed to connect to all addresses; last error: Connection refused"
    ),
    "tls": _of(ConnectionFailedError, "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", retryable=False),
    "aged": _of(ConnectionFailedError, "max connection age"),
    "gateway 504": _of(ConnectionFailedError, "Received http2 header with status: 504"),
    "exiting": _of(ModelUnavailableError, "Server exiting"),
    "no versions": _of(ModelUnavailableError, "Request for unknown model: 'llm' has no available versions"),
    "not found": _of(ModelUnavailableError, "Request for unknown model: 'llm' is not found", retryable=False),
    "overloaded": _of(OverloadedError, "Exceeds maximum queue size"),
    "credentials": _of(AuthenticationError, "who are you", retryable=False),
    "rejected": _of(RequestRejectedError, "unexpected inference input", retryable=False),
    "busy region": _of(RequestRejectedError, "a request uses this region of shared memory"),
    "model failed": _of(InferenceError, "engine exploded", retryable=False),
    "cancelled": _of(TransportError, "Request was cancelled"),
    "aborted": _of(TransportError, "the server aborted the call"),
    "garbage": _of(ProtocolError, "the server sent a response that cannot be read", retryable=False),
    "first token": DeadlineExceededError("late", deadline="first_token"),
    "between tokens": DeadlineExceededError("silent", deadline="between_tokens"),
    "total": DeadlineExceededError("late", deadline="total"),
}


def error_of(name: str) -> RequestError:
    """Return the failure with this name."""
    return FAILURES[name]
