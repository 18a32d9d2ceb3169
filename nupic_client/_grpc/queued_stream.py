"""A call with a stream of responses among those of a `CallQueue`: its reader gets each message in the thread that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from grpc._cython import cygrpc

from nupic_client._grpc.queued_call import FLAGS, QueuedCall

if TYPE_CHECKING:
    import grpc

__all__ = ["QueuedStream", "Taker", "can_queue_streams"]


def can_queue_streams() -> bool:
    """Return whether gRPC has the one name that streams need more than unary calls: see `call_queue.can_queue`."""
    return hasattr(getattr(cygrpc, "IntegratedCall", None), "operate")


class Taker(Protocol):
    """Takes the messages of a stream."""

    reported: bool
    """Whether who waits was told of its end."""
    patience: float
    """See `QueuedCall`."""

    def receive(self, message: bytes) -> bool:
        """Take a message; return whether to report the stream now, though the call goes on."""
        ...


class QueuedStream(QueuedCall):
    """A call with a stream of responses; when it has ended, what gRPC's errors say.

    Args:
        work: takes the messages.
    """

    __slots__ = ("_reading", "over")

    work: Taker

    def __init__(self, work: Taker) -> None:
        super().__init__(work)
        self._status = None
        self._reading = True
        """Whether another message may come. The status may come before the last one."""
        self.over = False

    @property
    def patience(self) -> float:  # type: ignore[override]
        """See `QueuedCall`."""
        return self.work.patience

    def forget(self) -> None:
        """Keep the work, which does not know the call, for who leaves the answers."""

    def batches(self, request: bytes, metadata: Any) -> tuple[tuple[Any, QueuedCall], ...]:
        """Return the operations to begin with, see `QueuedCall`."""
        first = (
            cygrpc.SendInitialMetadataOperation(metadata, FLAGS),
            cygrpc.SendMessageOperation(request, FLAGS),
            cygrpc.SendCloseFromClientOperation(FLAGS),
            cygrpc.ReceiveInitialMetadataOperation(FLAGS),
            cygrpc.ReceiveMessageOperation(FLAGS),
        )
        return (first, self), ((cygrpc.ReceiveStatusOnClientOperation(FLAGS),), self)

    def takes(self, operations: Any) -> bool:
        """Take the results of a batch of operations, see `QueuedCall`."""
        last = operations[-1]
        if type(last) is cygrpc.ReceiveMessageOperation:
            message = last.message()
            if message is not None:
                reported = self.work.receive(message)
                self.call.operate((cygrpc.ReceiveMessageOperation(FLAGS),), self)
                return reported
            self._reading = False
        else:
            self._status = last
        self.over = self._status is not None and not self._reading
        return self.over and not self.work.reported

    def code(self) -> grpc.StatusCode:
        """Return the status."""
        return self._code()
