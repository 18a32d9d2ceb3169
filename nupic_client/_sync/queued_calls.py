"""The unary calls that run at the same time for one reader, over a completion queue of gRPC."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from nupic_client._grpc import housekeeping
from nupic_client._grpc.call_queue import CallQueue, path_of
from nupic_client._grpc.queued_call import QueuedCall, QueuedCallError
from nupic_client._grpc.status import cause_of
from nupic_client.errors import StreamClosedError

if TYPE_CHECKING:
    from nupic_client._sync.transport import Transport

__all__ = ["QueuedCalls"]


class QueuedCalls:
    """Calls over a completion queue, which the reader's thread reads itself.

    Args:
        transport: whose calls they are.
        calls: its queue.
    """

    def __init__(self, transport: Transport, calls: CallQueue) -> None:
        self._transport = transport
        self._queue = calls
        # Who pops it ends its use: when another thread leaves it, it may be the next reader's already.
        self._own = [calls]
        calls.take()

    def start(self, command: Any, work: Any) -> None:
        """Start a call, see `Calls`."""
        try:
            call: QueuedCall = self._queue.start(
                path_of(command.method), command.request, command.timeout, command.metadata, work
            )
        except BaseException as error:
            self._not_started(error)
            raise
        if command.attempts is not None:
            command.attempts.call = call

    def _not_started(self, error: BaseException) -> None:
        """Handle a failure to start a call, as the transport does."""
        self._transport.not_started(error)
        if isinstance(error, ValueError):
            self._check_left()

    def wait(self, timeout: float | None) -> tuple[Any, Any] | None:
        """Wait until a call has ended, see `Calls`."""
        call = self._queue.wait(timeout)
        if call is None:
            self._check_left()
            return None
        return call.work, call

    def _check_left(self) -> None:
        """Raise an error if the calls were cancelled: who cancels them takes in their events too.

        Raises:
            ConfigurationError: the client was closed.
            StreamClosedError: the stream was.
        """
        if self._queue.abandoned:
            self._transport.not_started(ValueError())  # says so if the client was closed
            raise StreamClosedError("these results were closed before their end")

    def outcome(self, call: Any) -> Any:
        """Return the response of a call that has ended, see `Calls`."""
        if call.response is not None:
            return call.response
        error = QueuedCallError(call)
        failure = self._transport.failed(error)
        raise failure from cause_of(failure, error)

    def leave(self) -> None:
        """Cancel all calls, see `Calls`."""
        housekeeping.submit(_abandon, self._own)

    def done(self) -> None:
        """Give the queue back for the next reader."""
        with contextlib.suppress(IndexError):
            self._transport.keep(self._own.pop())


def _abandon(own: list[CallQueue]) -> None:
    with contextlib.suppress(IndexError):
        own.pop().abandon_soon()
