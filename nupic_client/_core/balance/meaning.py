"""The meaning of an error for the servers: which of them it speaks against, and whether another one may do better."""

from __future__ import annotations

import re
from enum import Enum

from nupic_client._core.kserve.error_rules import SERVER_STOPS
from nupic_client._core.kserve.server_words import core_of, without_exception
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


_ENDED_IN_ORDER = re.compile(
    r"^enter idle|max(?:imum)?[ _](?:connection[ _])?(?:age|idle)|connection[ _]aged|too[ _]many[ _]pings",
    re.IGNORECASE,
)
"""Connections that a sound server ends, because of their age (gRFC A9) or of pings. Triton 2.51 says "enter idle" of the
calls that still run when the grace is over, grpcio 1.85 "max connection age", both with UNAVAILABLE; new calls take another
connection by themselves."""
_GATEWAY_GAVE_UP = re.compile(r"^(?:upstream request|stream) timeout|http2 header with status: (?:408|504)\b")
"""A gateway's limit for the first response."""
_STOPS = re.compile(rf"{SERVER_STOPS}|^Cancelling all calls")
"""The last one is what servers of gRPC's own say of the calls that run when they stop (grpcio 1.85)."""


def meaning_of(error: RequestError) -> Meaning:
    """Return what an error says about the server that it came from."""
    if isinstance(error, (ConnectionFailedError, ModelUnavailableError)):
        return _of_words(error)
    if isinstance(error, DeadlineExceededError):
        return _DEADLINES.get(error.deadline, Meaning.NOTHING)
    if isinstance(error, AuthenticationError):
        return Meaning.REACHED
    if isinstance(error, (InferenceError, OverloadedError, RequestRejectedError)):
        return Meaning.ANSWERED
    return Meaning.NOTHING


def _of_words(error: ConnectionFailedError | ModelUnavailableError) -> Meaning:
    words = without_exception(core_of(error.server_message))
    if _ENDED_IN_ORDER.search(words):
        return Meaning.NOTHING
    if isinstance(error, ModelUnavailableError):
        return Meaning.DRAINING if _STOPS.search(words) else Meaning.MODEL_OUT
    return Meaning.LATE if _GATEWAY_GAVE_UP.search(words) else Meaning.SERVER_OUT


_DEADLINES = {
    # A model process that has died sends nothing more, and its server still reports it as ready.
    "between_tokens": Meaning.MODEL_OUT,
    "first_token": Meaning.LATE,
    # The caller chose the total, and a long answer passes it on a sound server.
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
