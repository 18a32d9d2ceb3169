"""Waiting until a server and a model are ready."""

from __future__ import annotations

from nupic_client._core.calls.flows import READ_CLOCK, Flow, Invoke, Metadata, Sleep
from nupic_client._core.kserve import wire
from nupic_client._numbers import check_wait
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    RequestError,
)

__all__ = ["answers", "wait_until_ready"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_SHORTEST_CALL = 0.1
_LONGEST_CALL = 5.0


def wait_until_ready(
    model: str, *, timeout: float | None, target: str, metadata: Metadata = (), twin: str = ""
) -> Flow[None]:
    """Poll until the server and the model are ready.

    Args:
        model: the server's name of the model; empty to wait for the server alone.
        timeout: seconds, or None to wait without limit.
        target: the server, for the error text.
        metadata: sent with the calls.
        twin: another name of the model; it is enough if one of the two is ready.

    Raises:
        DeadlineExceededError: not ready in time; it says what was missing.
        RequestError: waiting cannot help, e.g. wrong credentials.
    """
    timeout = check_wait(timeout)
    start: float = yield READ_CLOCK
    now = start
    pause = _FIRST_PAUSE
    while True:
        left = None if timeout is None else start + timeout - now
        problem = yield from _readiness(model, twin, left, metadata)
        if problem is None:
            return
        now = yield READ_CLOCK
        left = None if timeout is None else start + timeout - now
        if left is not None and left <= 0:
            raise DeadlineExceededError(
                f"not ready after {timeout:g} s: {problem}",
                limit=timeout,
                elapsed=now - start,
                model=model,
                target=target,
            )
        yield Sleep(pause if left is None else min(pause, left))
        now = yield READ_CLOCK
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def answers(model: str) -> Flow[bool]:
    """Return whether a server says that it is ready, and its model if there is one."""
    try:
        return (yield from _readiness(model, "", None, ())) is None
    except RequestError as error:
        # It is there, and wants the credentials of a request.
        return isinstance(error, AuthenticationError) or error.status == "UNIMPLEMENTED"


def _readiness(model: str, twin: str, left: float | None, metadata: Metadata) -> Flow[str | None]:
    """Return a sentence about what is not ready, or None. With no time left, a last question is asked with a short limit."""
    patience = _LONGEST_CALL if left is None else min(max(left, _SHORTEST_CALL), _LONGEST_CALL)
    try:
        server = yield Invoke("ServerReady", wire.pb.ServerReadyRequest(), patience, metadata)
        if not server.ready:
            return "the server says it is not ready"
        for name in dict.fromkeys(filter(None, (twin, model))):
            ready = yield Invoke("ModelReady", wire.pb.ModelReadyRequest(name=name), patience, metadata)
            if ready.ready:
                return None
    except RequestError as error:
        if not _may_pass(error):
            raise
        return error.message
    return f"the server has no model {model!r} that is ready" if model else None


def _may_pass(error: RequestError) -> bool:
    """Return whether waiting can help; wrong certificates, wrong credentials and missing methods stay."""
    if isinstance(error, ConnectionFailedError):
        return error.retryable
    return not isinstance(error, AuthenticationError) and error.status != "UNIMPLEMENTED"
