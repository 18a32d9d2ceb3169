"""One unary call of a `CallQueue`, and the error that is made of it. Of the names of gRPC see there."""

from __future__ import annotations

import contextlib
from typing import Any

import grpc
from grpc._cython import cygrpc

__all__ = ["CANCELLED", "FLAGS", "LEFT", "QueuedCall", "QueuedCallError"]

FLAGS = 0
"""Of an operation: nothing special."""
CANCELLED: int = grpc.StatusCode.CANCELLED.value[0]
"""The status of a call that we cancel."""
LEFT = "the results were left"
"""Its words."""
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_LAST = 5
"""The place of the status among the operations of a unary call."""
_MESSAGE = 4


class QueuedCall:
    """A unary call; when it has ended, its response or what gRPC's errors say. Made by `CallQueue.start`."""

    __slots__ = ("_status", "call", "response", "work")

    over = True
    """Whether all its events have come, once it was reported."""
    patience = 0.0
    """Seconds that it may take to end by itself before it is cancelled."""

    def __init__(self, work: Any) -> None:
        self.work = work
        """Whatever the caller wants to find again when the call has ended."""
        self.call: Any = None
        self.response: bytes | None = None
        """None if the call failed."""
        self._status: Any = None

    def batches(self, request: bytes, metadata: Any) -> tuple[tuple[Any, QueuedCall], ...]:
        """Return the operations to begin with, each batch of them with the tag of its event."""
        operations = (
            cygrpc.SendInitialMetadataOperation(metadata, FLAGS),
            cygrpc.SendMessageOperation(request, FLAGS),
            cygrpc.SendCloseFromClientOperation(FLAGS),
            cygrpc.ReceiveInitialMetadataOperation(FLAGS),
            cygrpc.ReceiveMessageOperation(FLAGS),
            cygrpc.ReceiveStatusOnClientOperation(FLAGS),
        )
        return ((operations, self),)

    def takes(self, operations: Any) -> bool:
        """Take the results of a batch of operations; return whether to report the call to who waits."""
        self._status = operations[_LAST]
        if self._status.code() == 0:
            self.response = operations[_MESSAGE].message()
        return True

    def cancel(self) -> None:
        """Cancel it, from any thread. Takes locks of gRPC; its events come nonetheless."""
        with contextlib.suppress(Exception):
            if self.call is not None:
                self.call.cancel(CANCELLED, LEFT)

    def forget(self) -> None:
        """Let go of the work, which knows the call: the garbage collector may end parts of it in any order."""
        self.work = None

    def code(self) -> grpc.StatusCode:
        """Return the status; INTERNAL for a success without a response."""
        code = self._code()
        return (
            code if self.response is not None or code is not grpc.StatusCode.OK else grpc.StatusCode.INTERNAL
        )

    def _code(self) -> grpc.StatusCode:
        return _CODES.get(self._status.code(), grpc.StatusCode.UNKNOWN)

    def details(self) -> str:
        """Return the server's words."""
        details = self._status.details()
        return details.decode(errors="replace") if isinstance(details, bytes) else str(details or "")

    def initial_metadata(self) -> tuple[Any, ...]:
        """Return the headers; they are not kept."""
        return ()

    def trailing_metadata(self) -> tuple[Any, ...]:
        """Return the trailers."""
        return tuple(self._status.trailing_metadata() or ())

    def __call__(self, _: object) -> set[object]:
        """Be asked about an event by gRPC, when it closes a channel with running calls."""
        return set()


class QueuedCallError(grpc.RpcError):  # type: ignore[misc]  # gRPC has no types
    """A call that failed, as gRPC's errors are.

    Args:
        call: it has ended.
    """

    def __init__(self, call: QueuedCall) -> None:
        super().__init__(f"{call.code()}: {call.details()}")
        self.code = call.code
        self.details = call.details
        self.initial_metadata = call.initial_metadata
        self.trailing_metadata = call.trailing_metadata
