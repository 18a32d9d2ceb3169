"""The state of one streamed request, from its sending to its end. Nothing here waits.

The shells in ``_sync`` and ``_async`` read responses and clocks and hand them in here. What a response holds, text or
arrays, the classes that extend this one know.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nupic_client._core.calls.auth import SignedCall
from nupic_client._core.calls.observation import bare
from nupic_client._core.calls.placement import no_room
from nupic_client._core.calls.progress import cut_short, late
from nupic_client._core.calls.retry import may_retry, next_pause
from nupic_client._core.calls.stream_attempts import StreamAttempts
from nupic_client._core.calls.stream_state import State
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
    RequestError,
    RequestRejectedError,
)
from nupic_client.logs import log_retry, log_sending

if TYPE_CHECKING:
    from contextvars import Context

    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.flows import Flow, SentMetadata
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.options import CallOptions

__all__ = ["StreamSession"]

ItemT = TypeVar("ItemT")

_GRACE = 1.0
"""Seconds that a call may take to end after the last word of its answer."""
_MOMENT = 0.05
"""Seconds for which a call goes on that is left after a response: the next one may be the last word."""


class Decoder(Protocol):
    """Decodes the responses of one attempt."""

    @property
    def finished(self) -> bool:
        """Whether the answer is complete."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the server has said its last word: the final mark or an error. Only the call may still go on."""
        ...

    @property
    def stopped_early(self) -> bool:
        """Whether the answer is complete while the server may still be generating, as after a stop string."""
        ...


class StreamSession(StreamAttempts[ItemT]):
    """The state of one streamed request.

    Args:
        options: of the call.
        model: the server's name of the model.
        target: the server, for error texts.
        request_id: sent with the request.
        bearer: adds the token to the metadata.
        start: clock reading when it is sent, in seconds.
        on_end: called once with the session when the stream has ended, however it ended; must not raise.
        on_signature_changed: called when a refusal suggests that the model's signature has changed; must not raise.
        observation: told of the request; None without an observer.
    """

    __slots__ = (
        "_credentials",
        "_decoder",
        "_hidden",
        "_on_signature_changed",
        "context",
    )

    _content: str
    """The word for what comes."""
    _decoder: Decoder

    def __init__(
        self,
        options: CallOptions,
        *,
        model: str,
        target: str,
        request_id: str,
        bearer: Bearer | None,
        start: float,
        on_end: Callable[[Any], None] | None = None,
        on_signature_changed: Callable[[], object] | None = None,
        observation: Observation | None = None,
    ) -> None:
        super().__init__(
            options,
            model=model,
            target=target,
            request_id=request_id,
            start=start,
            on_end=on_end,
            observation=observation,
        )
        self.context: Context | None = None if observation is None else observation.context
        """In which its calls are started, for interceptors; None for that of the caller."""
        metadata = options.metadata if observation is None else observation.metadata(options.metadata)
        self._credentials = SignedCall(bearer, metadata, self.context)
        self._hidden = False
        self._on_signature_changed = on_signature_changed

    @property
    @abstractmethod
    def message(self) -> Any:
        """The ``ModelInferRequest`` to send, serialized or not."""

    @property
    @abstractmethod
    def items(self) -> int:
        """How many items have come."""

    @abstractmethod
    def receive(self, response: Any, now: float) -> ItemT:
        """Take a serialized response and return what is new in it.

        Raises:
            RequestError: the response is an error or breaks the protocol.
        """

    @abstractmethod
    def ended(self, now: float) -> ItemT:
        """Take the regular end of the stream and return the item that was held back until then; usually there is none.

        Raises:
            IncompleteStreamError: the answer is not complete.
        """

    @abstractmethod
    def _new_decoder(self) -> Any:
        """Return a decoder for another attempt."""

    @abstractmethod
    def _amount(self) -> str:
        """Return in words how much has come; "" for nothing."""

    @property
    def answered(self) -> bool:
        """Whether the answer is complete; only the status of the call may be outstanding."""
        return self._decoder.finished

    @property
    def stopped_early(self) -> bool:
        """Whether the answer is complete while the server may still be generating, as after a stop string."""
        return self._decoder.stopped_early

    @property
    def complete(self) -> bool:
        """Whether the server has said its last word: the final mark or an error. Only the call may still go on."""
        return self._decoder.complete

    @property
    def patience(self) -> float:
        """Seconds that the call may take to end by itself before it is cancelled.

        Triton 2.51 loses a request whose call is cancelled just when its answer ends: its model cannot be unloaded any
        more, and now and then the server dies of it.
        """
        if self.complete:
            return _GRACE
        left = self._state is State.CANCELLED or self.stopped_early
        return _MOMENT if left and self.deadlines.responded else 0.0

    def not_placed(self, now: float) -> RequestError:
        """End because no server had room in time, and return the error."""
        timeouts = self._options.timeouts
        first = self.deadlines.left_for_first(now)
        deadline, limit = ("first_token", timeouts.first_token) if first == 0.0 else ("total", timeouts.total)
        return self.failed(no_room(limit, deadline, self.target), now)

    def sign(self) -> Flow[SentMetadata]:
        """Return the metadata to send the request with."""
        log_sending(self.model, self.request_id, self.target, self.attempt)
        return (yield from self._credentials.sign())

    def _refused(self, error: RequestError, now: float) -> RequestError:
        """Return the error of a response: whole, unless the request may be sent again."""
        shown = self._misplaced(self._credentials.hide(error))
        return shown if self._may_retry(shown) else self.failed(shown, now)

    def _cut(self, error: RequestError, now: float) -> RequestError:
        """Return the error of a stream that ended before its answer was complete."""
        cut = self.deadlines.expired is not None  # and an interceptor made a regular end of it
        return self.failed(self.deadlines.error() if cut else error, now)

    def broken(self, error: RequestError, now: float) -> RequestError | None:
        """Take a failure of the call; return the error to raise, or None if the answer was already complete.

        If the session is still running afterwards, the request may be sent again: see `retry`.
        """
        if self.answered:
            self._close(State.FINISHED, now)
            return None
        shown = self._credentials.hide(error)
        self._hidden = shown is not error
        error = shown
        if self.deadlines.expired is not None:
            error = self.deadlines.error()
        error = self._misplaced(error)
        return error if self._may_retry(error) else self.failed(error, now)

    def cause(self, error: BaseException) -> BaseException | None:
        """Return the cause of the error that `broken` returned: the call's own, or None if it would show credentials."""
        return None if self._hidden else error

    def retry(self, error: RequestError, now: float, jitter: float) -> float:
        """Prepare another attempt and return the pause before it.

        Args:
            error: from `receive` or `broken`, with the session still running.
            now: clock reading.
            jitter: a random number, 0 <= jitter < 1.

        Raises:
            RequestError: there is no further attempt; the given error, completed.
        """
        pause = self._pause(error, now, jitter)
        if pause is None:
            raise self.failed(error, now)
        log_retry(f"request={self.request_id}", error, pause)
        self._note_failed(error, now)
        if self._observation is not None:
            self._tell_retry(self._observation, error, pause)
        if self.placement is not None:
            self.placement.release()
        self._decoder = self._new_decoder()
        self.deadlines.sent(now + pause)
        return pause

    def _pause(self, error: RequestError, now: float, jitter: float) -> float | None:
        if isinstance(error, AuthenticationError):  # it is retried only with a new token
            return 0.0
        return next_pause(
            self._options.retry,
            error,
            attempt=self._tries,
            left=self.remaining(now),
            jitter=jitter,
        )

    @property
    def _tries(self) -> int:
        """The attempts that count for the retry policy: those with a renewed token do not."""
        return self.attempt - self._credentials.renewed

    def _tell_first(self, now: float) -> None:
        """Tell an observer that the first item has come."""
        self.first_due = False
        if self._observation is not None:
            self._observation.first(now - self._start)

    def _tell_retry(self, observation: Observation, error: RequestError, pause: float) -> None:
        """Tell an observer that the request is sent again."""
        error = error.completed(model=self.model, target=self.target, request_id=self.request_id)
        attempts = self.failed_attempts
        observation.retried(error.with_facts(attempts=attempts), pause, len(attempts))

    def _how_it_ended(self) -> dict[str, Any]:
        """Return what the outcome for an observer is in any case."""
        failure = self._left_by or self._error
        return {
            "model": self.model,
            "attempts": self.attempts if self._error is None else self._error.attempts,
            "cancelled": self._state is State.CANCELLED and failure is None,
            "error": None if failure is None else bare(failure),
        }

    def _note_refusal(self, error: RequestError) -> None:
        refused = isinstance(error, (RequestRejectedError, ModelUnavailableError))
        if refused and self._on_signature_changed is not None:
            self._on_signature_changed()

    def _may_retry(self, error: RequestError) -> bool:
        """Return whether `retry` may allow another attempt: only before anything of the answer has arrived."""
        self._note_refusal(error)
        if not self.running or self.deadlines.responded:
            return False
        return self._credentials.renews(error) or may_retry(self._options.retry, error, self._tries)

    def failed(self, error: RequestError, now: float) -> RequestError:
        """End with an error, and return it with the facts of this stream.

        Args:
            error: the error.
            now: clock reading.

        Raises:
            StreamClosedError: the caller closed the stream just before.
        """
        if self._state is State.CANCELLED:
            self.check_running()
        if self.running:
            error = self._completed(self._misplaced(error), now)
            self._note_refusal(error)
            self._error = error
            self._close(State.FAILED, now)
        return error

    def _completed(self, error: RequestError, now: float) -> RequestError:
        error = error.completed(model=self.model, target=self.target, request_id=self.request_id)
        queued = self.queued
        attempts = error.attempts or (self.failed_attempts if queued else self._ended_attempt(error, now))
        again = not self.items
        error = error.with_facts(
            attempts=attempts, retryable=error.retryable and again, elsewhere=error.elsewhere and again
        )
        amount = self._amount()
        if isinstance(error, DeadlineExceededError) and queued:
            return error.with_facts(elapsed=now - self._start)
        if isinstance(error, DeadlineExceededError):
            progress = amount or f"no {self._content}"
            total = self._options.timeouts.total
            return late(error, progress, chunks=self.items, elapsed=now - self._start, total=total)
        if isinstance(error, ConnectionFailedError) and self.deadlines.responded:
            return cut_short(error, amount or f"an answer without {self._content}")
        return error
