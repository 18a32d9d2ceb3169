"""The streams that run at the same time for one reader, over a completion queue of gRPC that the reader's thread reads."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve import wire
from nupic_client._grpc import housekeeping
from nupic_client._grpc.call_queue import path_of
from nupic_client._grpc.queued_call import QueuedCallError
from nupic_client._grpc.queued_stream import QueuedStream
from nupic_client._grpc.stream import check_left, raise_broken
from nupic_client._sync.queued_calls import QueuedCalls
from nupic_client.errors import RequestError

if TYPE_CHECKING:
    from nupic_client._core.calls.bulk import ReadAnswer
    from nupic_client._core.calls.session import StreamSession
    from nupic_client._grpc.call_queue import CallQueue
    from nupic_client._sync.transport import Transport

__all__ = ["QueuedAnswers"]

_OFTEN = 0.002
"""Seconds between two looks without waiting at least: each one costs as much as a request."""
_AWAY = 0.1
"""Seconds after which a reader who comes back counts as one who was away, see `Deadlines`."""


class Answer:
    """One attempt at an answer, as the messages of its call come."""

    __slots__ = ("failure", "job", "reported", "session", "touched")

    def __init__(self, session: StreamSession[Any], job: Any, now: float) -> None:
        self.session = session
        self.job = job
        self.failure: RequestError | None = None
        """The error of a response."""
        self.reported = False
        """Whether its reader was told the end; the call may go on."""
        self.touched = now
        """When the last message came."""

    @property
    def patience(self) -> float:
        """Seconds that the call may take to end by itself before it is cancelled."""
        return self.session.patience

    def receive(self, message: bytes) -> bool:
        """Take a message; return whether the answer has ended, though the call goes on."""
        session = self.session
        if self.reported or not session.running:
            return False
        now = self.touched = time.monotonic()
        try:
            session.receive(message, now)
        except RequestError as error:
            self.failure = error.with_traceback(None)
            self.reported = True
        else:
            if session.stopped_early:
                session.cancelled(now)
                self.reported = True
        return self.reported

    def late(self, now: float, attentive: float) -> float | None:
        """Return when to look at the deadlines again, or None if one has passed.

        Args:
            now: clock reading.
            attentive: since when the reader waits.
        """
        deadlines = self.session.deadlines
        deadlines.waiting = max(self.touched, attentive)
        return deadlines.check(now) if deadlines.watched else inf


class QueuedAnswers(QueuedCalls):
    """Streams over a completion queue, see `Calls`.

    Args:
        transport: whose calls they are.
        calls: its queue.
    """

    def __init__(self, transport: Transport, calls: CallQueue) -> None:
        super().__init__(transport, calls)
        self._path = path_of("ModelStreamInfer")
        self._running: set[QueuedStream] = set()
        self._next_check = inf
        """When to look at the deadlines."""
        self._looked = self._attentive = time.monotonic()

    def start(self, command: ReadAnswer, work: Any) -> None:
        """Send the request of a session, see `Calls`."""
        session = command.session
        metadata = self._transport.run(session.sign())
        now = time.monotonic()
        answer = Answer(session, work, now)
        request = wire.serialize(session.message)
        try:
            call = self._queue.start(
                self._path, request, session.remaining(now), metadata, answer, QueuedStream
            )
        except BaseException as error:
            self._not_started(error)
            raise
        self._running.add(call)
        check = answer.late(now, self._attentive)
        self._next_check = min(self._next_check, now if check is None else check)

    def wait(self, timeout: float | None) -> tuple[Any, Any] | None:
        """Wait until an answer has ended, see `Calls`."""
        now = time.monotonic()
        if timeout == 0.0 and now - self._looked < _OFTEN:
            return None
        if now - self._looked > _AWAY:
            self._attentive = now
        end = inf if timeout is None else now + timeout
        while True:
            until = min(end, self._next_check)
            call: Any = self._queue.wait(None if until == inf else max(until - now, 0.0))
            self._looked = now = time.monotonic()
            if call is not None:
                self._note(call, now)
                return call.work.job, call
            self._check_left()
            if now >= self._next_check:
                self._check_deadlines(now)
            if now >= end:
                return None

    def _note(self, call: QueuedStream, now: float) -> None:
        """Note that an answer has ended. Its call may still go on for a moment."""
        call.work.reported = True
        if call.over:
            self._running.discard(call)
        elif call.patience:
            self._next_check = min(self._next_check, now + call.patience)
        else:
            call.cancel()

    def _check_deadlines(self, now: float) -> None:
        self._next_check = inf
        for call in tuple(self._running):
            answer: Any = call.work
            if call.over:
                self._running.discard(call)
            elif answer.reported:
                when = answer.touched + answer.patience
                if now >= when:
                    call.cancel()
                else:
                    self._next_check = min(self._next_check, when)
            else:
                check = answer.late(now, self._attentive)
                if check is None:
                    call.cancel()  # its reader finds the reason
                else:
                    self._next_check = min(self._next_check, check)

    def outcome(self, call: QueuedStream) -> None:
        """Raise the error of an answer that has ended, see `Calls`."""
        answer: Any = call.work
        session = answer.session
        if answer.failure is not None:
            raise answer.failure
        if not session.running:  # complete before its call
            return
        error = QueuedCallError(call)
        if error.code().value[0]:
            raise_broken(self._transport, session, error, call)
            return
        if not session.answered:
            check_left(self._transport, session)
        session.ended(time.monotonic())

    def leave(self) -> None:
        """Cancel all calls, see `Calls`."""
        now = time.monotonic()
        for call in tuple(self._running):
            session: StreamSession[Any] = call.work.session  # type: ignore[attr-defined]
            session.cancelled(now, housekeeping.submit)
        super().leave()

    def done(self) -> None:
        """Give the queue back for the next reader."""
        self._queue.wait(0.0)  # for the event of its alarm
        super().done()
