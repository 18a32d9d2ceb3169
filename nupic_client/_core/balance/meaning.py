"""The meaning of an error for the servers: which of them it speaks against, and whether another one may do better."""

from __future__ import annotations

import re
from enum import Enum

from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    TransportError,
)

__all__ = ["Meaning", "meaning_of", "travels"]


class Meaning(Enum):
    """What an error says about the server that it came from."""

    NOTHING = "nothing"
    """Neither that the server is well nor that it is not."""
    REACHED = "reached"
    """The server is there and refuses this caller: nothing about the model."""
    ANSWERED = "answered"
    """The server and its model work; the request does not, or not now."""
    LATE = "late"
    """No first response in time: a busy server, or a dead one."""
    MODEL_OUT = "model out"
    """The model does not work on this server; others may."""
    DRAINING = "draining"
    """The server takes no new requests; those that run go on."""
    SERVER_OUT = "server out"
    """The server cannot be reached."""


_AGED = re.compile(
    r"max(?:imum)?[ _-]?(?:connection)?[ _-]?(?:age|idle)\b|connection[ _]aged|GOAWAY\b.*\bNO_ERROR",
    re.IGNORECASE,
)
"""Connections that a server ends because of their age, to spread its clients anew (gRFC A9). grpcio 1.85 says "max
connection age" of the calls that still ran after the grace, with UNAVAILABLE; those before it take another connection by
themselves. The server is well."""
_WHOLE_SERVER = re.compile(r"Server (?:exiting|not ready)|Server is stopping|server is shutting down")
"""What a server says of itself, and not of a model."""


def meaning_of(error: RequestError) -> Meaning:
    """Return what an error says about the server that it came from."""
    if isinstance(error, ConnectionFailedError):
        return Meaning.NOTHING if _AGED.search(error.server_message) else Meaning.SERVER_OUT
    if isinstance(error, ModelUnavailableError):
        return Meaning.DRAINING if _WHOLE_SERVER.search(error.server_message) else Meaning.MODEL_OUT
    if isinstance(error, DeadlineExceededError):
        return _DEADLINES.get(error.deadline, Meaning.NOTHING)
    if isinstance(error, AuthenticationError):
        return Meaning.REACHED
    if isinstance(error, (InferenceError, OverloadedError, RequestRejectedError)):
        return Meaning.ANSWERED
    return Meaning.NOTHING


_DEADLINES = {
    # A model process that died says nothing more, and its server still reports it as ready.
    "between_tokens": Meaning.MODEL_OUT,
    "first_token": Meaning.LATE,
    # The total is the caller's own choice, and long answers pass it on sound servers.
    "total": Meaning.NOTHING,
}


def travels(error: RequestError) -> bool:
    """Return whether another server may do better with a request that failed before anything of its answer came."""
    if error.retry_after is not None and error.retry_after < 0:  # the server's word for "never again"
        return False
    if isinstance(error, (ConnectionFailedError, ModelUnavailableError)):
        return (
            True  # also those that the same server would repeat: a certificate, a model that it does not have
        )
    if isinstance(error, (AuthenticationError, DeadlineExceededError, RequestRejectedError, InferenceError)):
        return False
    if isinstance(error, ProtocolError):
        return error.retryable and not isinstance(error, IncompleteStreamError)
    return isinstance(error, TransportError) and error.retryable
