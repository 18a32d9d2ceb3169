"""The faults of the real server itself, and how a generation ends that meets them."""

from __future__ import annotations

from faults.network import UNREACHABLE
from faults.rows import BEFORE_CALL, BEFORE_TOKEN, IN_STREAM, PARTIAL, WHOLE, Row

__all__ = ["SERVER_ROWS"]

NOT_LOADED = "ModelUnavailableError (UNAVAILABLE)"


def gone(where: str) -> Row:
    return Row(
        "server killed (SIGKILL)", where, UNREACHABLE, "", "max_retries", 1.5, retryable=True, attempts=3
    )


KILLED_IDLE = gone(BEFORE_CALL)
KILLED_ASKED = gone("while it is asked for the model's signature")
KILLED_BEFORE_TOKEN = gone(BEFORE_TOKEN)
KILLED_IN_STREAM = Row("server killed (SIGKILL)", IN_STREAM, UNREACHABLE, PARTIAL)
RESTARTED = Row(
    "server killed and started again", BEFORE_CALL, ended_by="the answer", limit=5.0, attempts=None
)
RESTARTED_AFTER_FAILURES = Row(
    "server killed and started again, calls in vain meanwhile",
    BEFORE_CALL,
    ended_by="gRPC's next attempt to connect",
    limit=5.0,
    attempts=None,
)
FROZEN = Row(
    "server frozen (SIGSTOP)", BEFORE_CALL, ("DeadlineExceededError (first_token)",), "", "first_token", 0.8
)
FROZEN_IN_STREAM = Row(
    "server frozen (SIGSTOP)",
    IN_STREAM,
    ("DeadlineExceededError (between_tokens)",),
    PARTIAL,
    "between_tokens",
    0.8,
)
TERMINATED = Row("server shutting down (SIGTERM)", IN_STREAM, ended_by="the answer", limit=10.0)
TERMINATED_NEW = Row(
    "server shutting down (SIGTERM)",
    "a new request meanwhile",
    (NOT_LOADED,),
    "",
    "max_retries",
    1.5,
    retryable=True,
    attempts=3,
)
MODEL_KILLED = Row(
    "process of the model killed (SIGKILL)",
    IN_STREAM,
    ("DeadlineExceededError (between_tokens)", NOT_LOADED),
    PARTIAL,
    "between_tokens",
    1.5,
)
MODEL_KILLED_IDLE = Row(
    "process of the model killed (SIGKILL)",
    BEFORE_CALL,
    (NOT_LOADED,),
    "",
    "the server, which looks for a second",
    2.0,
)
RELOADED = Row(
    "model unloaded and loaded again under load",
    "8 threads and 8 tasks that generate all the time",
    ("none", NOT_LOADED, "ModelUnavailableError (NOT_FOUND)"),
    (WHOLE, ""),
    "retries, or the answer",
    5.0,
    retryable=None,
    attempts=None,
)

SERVER_ROWS = (
    KILLED_IDLE,
    KILLED_ASKED,
    KILLED_BEFORE_TOKEN,
    KILLED_IN_STREAM,
    RESTARTED,
    RESTARTED_AFTER_FAILURES,
    FROZEN,
    FROZEN_IN_STREAM,
    TERMINATED,
    TERMINATED_NEW,
    MODEL_KILLED,
    MODEL_KILLED_IDLE,
    RELOADED,
)
