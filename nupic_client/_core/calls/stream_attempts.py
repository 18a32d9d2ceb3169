"""The attempts of one streamed request: their servers, how long they may take, how they ended. Nothing here waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from nupic_client._core.calls.deadlines import Deadlines
from nupic_client._core.calls.placement import tried
from nupic_client._core.calls.stream_state import Later, State, StreamState
from nupic_client.attempts import Attempt

if TYPE_CHECKING:
    from nupic_client._core.calls.flows import Attempts
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.options import CallOptions
    from nupic_client._core.calls.placement import Affinity, Placement
    from nupic_client.errors import RequestError

__all__ = ["StreamAttempts"]

ItemT = TypeVar("ItemT")


class StreamAttempts(StreamState[ItemT]):
    """The state of one stream, with the attempts of its request.

    Args:
        options: of the call.
        model: the server's name of the model.
        target: the server, for error texts.
        request_id: sent with the request.
        start: clock reading when it is sent, in seconds.
        on_end: as for `StreamState`.
        observation: as for `StreamState`.
    """

    __slots__ = (
        "_options",
        "_start",
        "deadlines",
        "failed_attempts",
        "model",
        "placement",
        "queued",
        "request_id",
        "target",
        "unary",
        "waited",
        "waited_for_first",
    )

    def __init__(
        self,
        options: CallOptions,
        *,
        model: str,
        target: str,
        request_id: str,
        start: float,
        on_end: Callable[[Any], None] | None,
        observation: Observation | None,
    ) -> None:
        super().__init__(start, on_end, observation)
        self.model: str = model
        self.target: str = target
        self.request_id: str = request_id
        self.failed_attempts: tuple[Attempt, ...] = ()
        self.placement: Placement | None = None
        """Its place on one of several servers."""
        self.queued: bool = False
        """Whether the attempt waits for such a place: then it went to no server yet."""
        self.deadlines: Deadlines = Deadlines(
            options.timeouts.first_token, options.timeouts.between_tokens, start
        )
        self.unary: bool = False
        """Whether a unary call stands for the stream."""
        self.waited: float = 0.0
        """How many seconds the reader has waited for responses; none where it reads in another way."""
        self.waited_for_first: float = 0.0
        """Those of them before the first response."""
        self._options = options
        self._start = start

    @property
    def affinity(self) -> Affinity:
        """The session that the request belongs to."""
        return self._options.session

    @property
    def first_response(self) -> float | None:
        """Clock reading of the first response that says something, or None."""
        return None

    def queue(self) -> None:
        """Wait for a server for the next attempt."""
        self.queued = True

    def place(self, placement: Placement) -> None:
        """Take the server that this attempt is sent to."""
        self.placement = (
            placement  # before the look at `running`, which `_close` sets before its look at this
        )
        self.target = placement.address
        self.queued = not placement.address
        if not self.running:
            placement.release()

    @property
    def tried(self) -> list[str]:
        """The servers where attempts have failed."""
        return tried(self.failed_attempts)

    @property
    def attempt(self) -> int:
        """The number of the attempt that runs, or ran last: from 1."""
        return len(self.failed_attempts) + 1

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """All attempts of a stream that did not fail."""
        status = "CANCELLED" if self._state is State.CANCELLED else "OK"
        return (*self.failed_attempts, Attempt(self.target, status, self._end - self.deadlines.sent_at))

    def took(self, attempts: Attempts, *, failed: bool = False) -> None:
        """Note the attempts of a unary call that stands for the stream; its own failure is noted by `failed`."""
        self.unary = True
        self.failed_attempts = attempts.failed[:-1] if failed else attempts.failed
        self.target = attempts.endpoint or self.target
        self.queued = attempts.queued
        self.deadlines.sent(attempts.begun)

    def _note_failed(self, error: RequestError, now: float) -> None:
        """Note that an attempt has failed and another one follows."""
        self.failed_attempts = self._ended_attempt(error, now)

    def _ended_attempt(self, error: RequestError, now: float) -> tuple[Attempt, ...]:
        """Return all attempts, the last of which failed."""
        last = Attempt(error.target or self.target, error.status, now - self.deadlines.sent_at)
        return (*self.failed_attempts, last)

    def remaining(self, now: float) -> float | None:
        """Return the seconds left of the total deadline, or None where there is none. Never negative."""
        timeout = self._options.timeouts.total
        return None if timeout is None else max(timeout - (now - self._start), 0.0)

    def _responded(self) -> None:
        """Note the first response."""
        self.deadlines.responded = True
        self.waited_for_first = self.waited
        if self.placement is not None:
            self.placement.answered()

    def patience_in_queue(self, now: float) -> float | None:
        """Return the seconds that the request may wait for a server, or None for no limit."""
        limits = [self.remaining(now), self.deadlines.left_for_first(now)]
        return min((limit for limit in limits if limit is not None), default=None)

    def _misplaced(self, error: RequestError) -> RequestError:
        """Tell the pool of servers of a failure; return the error, which says whether to try elsewhere."""
        return error if self.placement is None else self.placement.failed(error, self.tried)

    def _give_back(self, later: Later | None) -> None:
        placement = self.placement
        if placement is None:
            return
        answered = self.finished or (self._state is State.CANCELLED and self.deadlines.responded)
        if later is not None:
            placement.drop(answered=answered, first_response=self.first_response)
            return
        if answered:
            placement.answered(self.first_response)
        placement.release()
