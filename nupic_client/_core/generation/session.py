"""One generation from its request to its end: everything a stream knows, and nothing that waits.

A stream always ends in exactly one known way: finished, cancelled by the caller, or a typed error that carries the text
so far. The shells in ``_sync`` and ``_async`` read responses and clocks and hand them in here.
"""

from __future__ import annotations

from enum import Enum
from logging import INFO
from math import inf
from typing import TYPE_CHECKING

from nupic_client._core.calls.auth import hide_credentials
from nupic_client._core.calls.retry import next_pause
from nupic_client._core.generation.deadlines import Deadlines
from nupic_client._core.generation.decoder import StreamDecoder
from nupic_client._core.generation.timing import Stopwatch
from nupic_client.errors import (
    AuthenticationError,
    DeadlineExceededError,
    ModelUnavailableError,
    ProtocolError,
    RequestError,
    RequestRejectedError,
    StreamClosedError,
    StreamConsumedError,
)
from nupic_client.logs import log_outcome, log_retry, log_sending, logger
from nupic_client.results import FinishReason, Generation, TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from nupic_client._core.calls.flows import Flow, Metadata
    from nupic_client._core.generation.wire_request import WireRequest

    Later = Callable[[Callable[[], object]], object]

__all__ = ["GenerationSession", "too_long"]


def too_long(limit: int | None) -> str:
    """Return the sentence for a text that is longer than its limit."""
    return (
        f"the text is longer than max_output_bytes allows ({limit} bytes): give a larger number, or None for no limit,"
        " if it may be"
    )


class _State(Enum):
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class GenerationSession:
    """The state of one generation.

    Args:
        request: what is sent.
        start: clock reading when it is sent, in seconds.
    """

    __slots__ = (
        "_chunks",
        "_consumed",
        "_decoder",
        "_end",
        "_error",
        "_hidden",
        "_left",
        "_renewed",
        "_sent",
        "_state",
        "attempts",
        "deadlines",
        "on_end",
        "on_signature_changed",
        "request",
        "running",
        "stopwatch",
    )

    def __init__(self, request: WireRequest, start: float) -> None:
        self.request = request
        self.attempts = 1
        self.stopwatch = Stopwatch(start)
        self.deadlines = Deadlines(request.first_token, request.between_tokens, start)
        self._decoder = self._new_decoder()
        self._left = inf if request.max_output_bytes is None else request.max_output_bytes
        self._chunks: list[str] = []
        self._state = _State.RUNNING
        self.running = True
        """Whether the answer is still coming."""
        self._consumed = False
        self._sent: Metadata = ()
        self._renewed = False
        self._hidden = False
        self._error: RequestError | None = None
        self._end = start
        self.on_end: Callable[[GenerationSession], None] | None = None
        """Called once when the generation has ended, in whatever way; must not raise."""
        self.on_signature_changed: Callable[[], object] | None = None
        """Called when the server says that the model is not what it was taken for; must not raise."""

    @property
    def answered(self) -> bool:
        """Whether the text is complete; only the status of the call may be outstanding."""
        return self._decoder.finished

    @property
    def stopped_early(self) -> bool:
        """Whether a stop string ended the text while the server may still be generating."""
        return self._decoder.stopped_early

    def remaining(self, now: float) -> float | None:
        """Return the seconds left of the total deadline, or None where there is none. Never negative."""
        timeout = self.request.timeout
        return None if timeout is None else max(timeout - self.stopwatch.elapsed(now), 0.0)

    @property
    def text(self) -> str:
        """The text so far."""
        # Any thread may ask while another one appends: only read here.
        return "".join(self._chunks)

    def sign(self) -> Flow[Metadata]:
        """Return the metadata to send the request with."""
        request = self.request
        log_sending(request.model, request.request_id, request.target, self.attempts)
        self._sent = request.metadata
        if request.bearer is not None:
            self._sent = yield from request.bearer.sign(request.metadata)
        return self._sent

    def receive(self, response: bytes, now: float) -> str:
        """Take a response and return its new text, which may be empty.

        Args:
            response: a serialized ``ModelStreamInferResponse``.
            now: clock reading.

        Raises:
            RequestError: the response is an error or breaks the protocol.
        """
        try:
            text = self._decoder.feed(response)
        except RequestError as error:
            hide_credentials(error, self._sent)
            if self._may_retry(error):
                raise
            raise self.failed(error, now) from None
        self.deadlines.responded = True
        if text:
            self._left -= len(text) if text.isascii() else len(text.encode())
            if self._left < 0:
                raise self.failed(ProtocolError(too_long(self.request.max_output_bytes)), now, gap=True)
            self._chunks.append(text)
            self.stopwatch.arrived(now)
        return text

    def delta(self, text: str) -> TextDelta:
        """Return the event for a chunk of text that `receive` returned."""
        return TextDelta(text, self._decoder.take_logprobs())

    def ended(self, now: float) -> None:
        """Take the regular end of the stream.

        Raises:
            IncompleteStreamError: the answer is not complete.
        """
        try:
            self._decoder.end()
        except RequestError as error:
            raise self.failed(error, now) from None
        self._close(_State.FINISHED, now)

    def broken(self, error: RequestError, now: float) -> RequestError | None:
        """Take a failure of the call; return the error to raise, or None where the answer was already complete.

        The error is not the end if the session is still running then: see `retry`.
        """
        if self.answered:
            self._close(_State.FINISHED, now)
            return None
        self._hidden = hide_credentials(error, self._sent)
        if self.deadlines.expired is not None:
            error = self.deadlines.error()
        return error if self._may_retry(error) else self.failed(error, now)

    def cause(self, error: BaseException) -> BaseException | None:
        """Return what the call raised as the cause of what `broken` gave; None where it would show the credentials."""
        return None if self._hidden else error

    def count_attempt(self) -> None:
        """Note that the request is sent once more."""
        self.attempts += 1

    def retry(self, error: RequestError, now: float, jitter: float) -> float:
        """Return the pause before the request is to be sent again, and get ready for that.

        Args:
            error: what `receive` or `broken` gave while the session went on running.
            now: clock reading.
            jitter: a random number, 0 <= jitter < 1.

        Raises:
            RequestError: it is not to be sent again; the given one, completed.
        """
        pause = self._pause(error, now, jitter)
        if pause is None:
            raise self.failed(error, now)
        log_retry(f"request={self.request.request_id}", error, pause)
        self.count_attempt()
        self._decoder = self._new_decoder()
        self.deadlines.sent(now + pause)
        return pause

    def _pause(self, error: RequestError, now: float, jitter: float) -> float | None:
        if isinstance(error, AuthenticationError):  # which only another token makes worth another try
            return 0.0
        attempt = self.attempts - self._renewed
        return next_pause(self.request.retry, error, attempt=attempt, left=self.remaining(now), jitter=jitter)

    def _note_signature_change(self, error: RequestError) -> None:
        if self.on_signature_changed is not None and isinstance(
            error, (RequestRejectedError, ModelUnavailableError)
        ):
            self.on_signature_changed()

    def _may_retry(self, error: RequestError) -> bool:
        """Tell whether it is worth asking `retry`: only before anything of the answer had arrived."""
        self._note_signature_change(error)
        if not self.running or self.deadlines.responded:
            return False
        return self._renews(error) or (
            error.retryable and self.attempts - self._renewed <= self.request.retry.max_retries
        )

    def _renews(self, error: RequestError) -> bool:
        """Tell whether the server wants another token and there may be one; once."""
        bearer = self.request.bearer
        if bearer is None or self._renewed:
            return False
        self._renewed = bearer.renews(error, self.request.metadata, self._sent)
        return self._renewed

    def _new_decoder(self) -> StreamDecoder:
        request = self.request
        return StreamDecoder(
            request.output_names, request.stops, prompt=request.prompt, request_id=request.request_id
        )

    def failed(self, error: RequestError, now: float, *, gap: bool = False) -> RequestError:
        """End with an error, completed by the facts of this generation.

        Args:
            error: the error.
            now: clock reading.
            gap: whether text was left out, so that what the decoder still holds does not follow the text so far.

        Raises:
            StreamClosedError: the caller had left just before.
        """
        if self._state is _State.CANCELLED:
            self.check_running()
        if self.running:
            if not gap:
                self._chunks.append(self._decoder.flush())
            request = self.request
            error.model = error.model or request.model
            error.target = error.target or request.target
            error.request_id = error.request_id or request.request_id
            error.attempts = self.attempts
            error.partial_text = self.text
            error.retryable = error.retryable and not error.partial_text
            if isinstance(error, DeadlineExceededError):
                self._explain_deadline(error, now)
            self._note_signature_change(error)
            self._error = error
            self._close(_State.FAILED, now)
        return error

    def _explain_deadline(self, error: DeadlineExceededError, now: float) -> None:
        error.elapsed = self.stopwatch.elapsed(now)
        error.chunks = self.stopwatch.chunks
        if error.deadline == "total":
            error.limit = self.request.timeout
            if error.limit is None:
                return
            error.message = f"the answer was not complete within the timeout of {error.limit:g} s"
        chunks = f"{error.chunks} chunk{'' if error.chunks == 1 else 's'} of text"
        came = f"{chunks} ({len(error.partial_text)} characters)" if error.chunks else "no text"
        error.message = f"{error.message}: {came} had come after {error.elapsed:.1f} s"

    def cancelled(self, now: float, later: Later | None = None) -> None:
        """End because the caller left; without effect on what has already ended.

        Args:
            now: clock reading.
            later: what calls a function later. A destructor gives it: what it interrupts may hold the locks of logging.
        """
        if self.running:
            self._close(_State.FINISHED if self.answered else _State.CANCELLED, now, later)

    def check_unread(self) -> None:
        """Raise what beginning to read now would mean: as `check_running`, and one more.

        Raises:
            StreamConsumedError: the reader was already told the end.
        """
        self.check_running()
        if self._consumed:
            raise StreamConsumedError("this stream was already read to its end; stream.result() has its text")

    def check_running(self) -> None:
        """Raise what reading on would mean.

        Raises:
            StreamClosedError: the caller closed the stream.
            RequestError: it had failed; the same error again.
        """
        if self._error is not None:
            raise self._error
        if self._state is _State.CANCELLED:
            raise StreamClosedError(
                "this stream was closed before its end, which cancelled the generation (leaving a for loop closes it"
                " too: use next(stream) to read single chunks); stream.result() has the text so far"
            )

    def consumed(self) -> str:
        """Note that the reader is told the end, and return the empty text that tells it."""
        self._consumed = True
        return ""

    @property
    def finished(self) -> bool:
        """Whether the answer came to its end."""
        return self._state is _State.FINISHED

    @property
    def failure(self) -> RequestError | None:
        """The error the generation ended with, or None."""
        return self._error

    def result(self) -> Generation:
        """Return the generation; of a cancelled one what had arrived.

        Raises:
            RequestError: it failed.
        """
        if self._error is not None:
            raise self._error
        cancelled = self._state is _State.CANCELLED
        usage = self._decoder.usage
        return Generation(
            text=self.text,
            finish_reason=FinishReason.CANCELLED if cancelled else self._decoder.finish_reason,
            usage=usage,
            timing=self.stopwatch.timing(self._end, usage.output_tokens),
            model=self.request.model,
            request_id=self.request.request_id,
            attempts=self.attempts,
            logprobs=self._decoder.logprobs,
        )

    def _close(self, state: _State, now: float, later: Later | None = None) -> None:
        self._state = state
        self.running = False
        self._end = now
        if logger.isEnabledFor(INFO):
            if later is None:
                self._log()
            else:
                later(self._log)
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self)

    def _log(self) -> None:
        tokens = self._decoder.usage.output_tokens
        timing = self.stopwatch.timing(self._end, tokens)
        log_outcome(
            self.request.model,
            self.request.request_id,
            self._error or self._state.value,
            total=timing.total,
            first_token=timing.time_to_first_token,
            tokens=tokens,
            attempts=self.attempts,
        )
