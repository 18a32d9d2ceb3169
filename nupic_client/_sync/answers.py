"""The streams that run at the same time for one reader, each read to its end by a thread."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.session import StreamSession
from nupic_client._grpc import fork, housekeeping
from nupic_client._grpc.queues import get_within
from nupic_client._sync.call_stream import CallStream
from nupic_client.errors import NupicError, RequestError

if TYPE_CHECKING:
    from nupic_client._core.calls.bulk import ReadAnswer
    from nupic_client._sync.driver import StreamDriver

__all__ = ["ThreadedAnswers"]


class Answer(CallStream[StreamSession[Any], Any]):
    """One attempt at an answer, which is read to its end at one go."""

    failure: BaseException | None = None
    """The error of the attempt."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def read_all(self) -> None:
        """Read the answer to its end; an error is kept in ``failure``."""
        session = self._session
        try:
            self._receive(session, whole=True)
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            session.deadlines.waiting = None
            if isinstance(error, RequestError):
                error = error.with_traceback(None)
            self.failure = error
            if session.running and isinstance(error, RequestError):  # it may be sent again
                self._end_call(session.patience)
                housekeeping.unregister(self._registration)
                return
        session.deadlines.waiting = None
        self._leave(abruptly=not isinstance(self.failure, (NupicError, type(None))))

    def leave(self) -> None:
        """Close it. For destructors too."""
        self._leave(housekeeping.submit)

    def _first_check(self, session: StreamSession[Any]) -> float | None:
        # Each attempt has an object of its own, which is looked after.
        return session.deadlines.check(time.monotonic()) if session.deadlines.watched else None

    def _check_deadline(self, now: float) -> float | None:
        # When an attempt has failed, the session is that of the next one.
        return None if self.failure is not None else super()._check_deadline(now)


class ThreadedAnswers:
    """Answers that threads read, one each; see `Calls`.

    Args:
        transport: whose calls they are.
    """

    def __init__(self, transport: StreamDriver) -> None:
        self._transport = transport
        self._running: dict[Answer, Any] = {}
        self._begun: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._threads = 0
        self._left = False
        self._starting: StreamSession[Any] | None = None
        """Of the answer that is being started; it may have to wait for a server."""
        fork.track(self)

    def _after_fork(self) -> None:
        fork.leak(self._running, self._begun, self._ended)
        self._running, self._begun, self._ended = {}, queue.SimpleQueue(), queue.SimpleQueue()
        self._left = True

    def start(self, command: ReadAnswer, work: Any) -> None:
        """Send the request and have its answer read, see `Calls`."""
        self._starting = command.session
        try:
            answer = Answer(self._transport, command.session)
        finally:
            self._starting = None
        self._running[answer] = work
        if len(self._running) > self._threads:
            self._threads += 1
            threading.Thread(
                target=_read_answers,
                args=(self._begun, self._ended),
                name="nupic_client.answers",
                daemon=True,
            ).start()
        self._begun.put(answer)
        if self._left:  # just now, by another thread
            answer.close()

    def wait(self, timeout: float | None) -> tuple[Any, Any] | None:
        """Wait until an answer has ended, see `Calls`."""
        with contextlib.suppress(queue.Empty):
            answer = get_within(self._ended, timeout)
            if answer is not None:
                return self._running.pop(answer), answer
        return None

    def outcome(self, call: Answer) -> None:
        """Raise the error of an answer that has ended, see `Calls`."""
        if call.failure is not None:
            raise call.failure

    def leave(self) -> None:
        """Cancel all calls, see `Calls`."""
        self._left = True
        starting = self._starting
        if starting is not None:
            starting.cancelled(time.monotonic(), housekeeping.submit)
        for answer in tuple(self._running):
            answer.leave()
        self.done()
        self._ended.put(None)  # the reader may be waiting

    def done(self) -> None:
        """Let the threads end."""
        for _ in range(self._threads):
            self._begun.put(None)


def _read_answers(begun: queue.SimpleQueue[Answer | None], ended: queue.SimpleQueue[Answer | None]) -> None:
    while (answer := begun.get()) is not None:
        answer.read_all()
        ended.put(answer)
        del answer
