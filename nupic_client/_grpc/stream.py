"""The part of a stream that does not wait, the same for sync and async readers."""

from __future__ import annotations

import time
from typing import Any, Generic, Protocol, TypeVar

import grpc

from nupic_client._core.calls.session import StreamSession
from nupic_client._grpc import fork
from nupic_client._grpc.call import AsyncStreamCall, NoCall, StreamCall, foreign_call
from nupic_client._grpc.status import cause_of, error_from_rpc
from nupic_client._repr import counted, shortened
from nupic_client.display import printable
from nupic_client.errors import RequestError

__all__ = ["BaseStream", "check_left", "raise_broken"]

ItemT = TypeVar("ItemT")
SessionT = TypeVar("SessionT", bound=StreamSession[Any])


class Connection(Protocol):
    """The part of a transport that is needed here."""

    closed: bool

    def explain(self, error: RequestError) -> RequestError:
        """Return the error of a call, with the proxy named that it went through."""
        ...


class BaseStream(Generic[SessionT, ItemT]):
    """A streamed request and its call; subclasses read it. Items are what a read gives: see `StreamSession`.

    Args:
        transport: the connection.
        request_id: the id of the request.
    """

    _transport: Connection
    _session: SessionT | None = None
    """None until the request is sent."""
    _call: StreamCall | AsyncStreamCall | NoCall = NoCall()
    _given_up = False
    """Whether the stream failed or was left before its request was sent."""
    _unit = "chunk"
    """The word for one thing that comes."""

    def __init__(self, transport: Connection, request_id: str) -> None:
        self._transport = transport
        self._request_id = request_id

    @property
    def request_id(self) -> str:
        """The id the request is sent with."""
        return self._request_id

    @property
    def closed(self) -> bool:
        """Whether the answer has ended, however it ended."""
        return self._given_up if self._session is None else not self._session.running

    def __repr__(self) -> str:
        session = self._session
        request = f"request={shortened(getattr(self, '_request_id', ''))}"
        if session is None:
            state = "failed or closed before its request was sent" if self._given_up else "not sent yet"
            return printable(f"<{type(self).__name__} {request} {state}>")
        came = counted(session.items, self._unit)
        return printable(f"<{type(self).__name__} {session.model} {request} {session.progress}, {came}>")

    def _after_fork(self) -> None:
        """Drop the parent's call in a forked child; reading it there is an error."""
        fork.leak(self._call)
        self._call = foreign_call()

    def _first_check(self, session: StreamSession[Any]) -> float | None:
        """Return when to call `_check_deadline` first; None if there is no need, or if it is called already."""
        if session.attempt > 1 or not session.deadlines.watched:
            return None
        return session.deadlines.check(time.monotonic())

    def _check_deadline(self, now: float) -> float | None:
        """Cancel the call if the server was silent for too long; return when to check again."""
        session = self._session
        if session is None or not session.running:
            return None
        again = session.deadlines.check(now)
        if again is None:
            self._call.cancel()  # wakes the reader, who then finds the reason
        return again

    def _check_left(self, session: StreamSession[Any]) -> None:
        """Raise StreamClosedError if the stream or the client was closed while the reader was waiting."""
        check_left(self._transport, session)

    def _broken(self, session: StreamSession[Any], cause: BaseException) -> None:
        """Raise our error for a failure of the call, unless the answer was complete."""
        raise_broken(self._transport, session, cause, self._call.call)


def check_left(transport: Connection, session: StreamSession[Any]) -> None:
    """Raise StreamClosedError if a stream or the client was closed while the reader was waiting."""
    if transport.closed:
        session.cancelled(time.monotonic(), client_closed=True)
    session.check_running()


def raise_broken(
    transport: Connection, session: StreamSession[Any], cause: BaseException, call: object
) -> None:
    """Raise our error for a failure of the call of a stream, unless the answer was complete.

    Args:
        transport: the connection.
        session: the state of the stream.
        cause: the failure.
        call: the call, if it knows more about it.
    """
    check_left(transport, session)
    if isinstance(cause, grpc.RpcError):
        failure = transport.explain(error_from_rpc(cause, session.target, call, streamed=True))
    else:
        failure = session.deadlines.error()
    error = session.broken(failure, time.monotonic())
    if error is not None:
        raise error from session.cause(cause) and cause_of(error, cause)
