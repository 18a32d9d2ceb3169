"""The state of one generation, from its request to its end. Nothing here waits.

A stream always ends in exactly one known way: finished, cancelled by the caller, or a typed error that carries the text
so far. The shells in ``_sync`` and ``_async`` read responses and clocks and hand them in here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from logging import INFO
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from nupic_client._core.calls.auth import SignedCall
from nupic_client._core.calls.options import too_long
from nupic_client._core.calls.retry import may_retry, next_pause
from nupic_client._core.generation.deadlines import Deadlines
from nupic_client._core.generation.decoder import StreamDecoder
from nupic_client._core.generation.refusal import with_sent_parameters
from nupic_client._core.generation.timing import Stopwatch
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
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
    from typing import Any

    from nupic_client._core.calls.flows import Flow, Metadata
    from nupic_client._core.generation.request import GenerationRequest, WireRequest

__all__ = ["GenerationSession", "Later", "OnEnd"]

Later: TypeAlias = Callable[[Callable[[], object]], object]

_GRACE = 1.0
"""Seconds that a call may take to end after the last word of its answer."""
_MOMENT = 0.05
"""Seconds for which a call goes on that is left after a response: the next one may be the last word."""


class _State(Enum):
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class GenerationSession:
    """The state of one generation.

    Args:
        request: the generation, with the server's name of the model.
        wire_request: its message for the wire.
        start: clock reading when it is sent, in seconds.
        on_end: called once with the session when the generation has ended, however it ended; must not raise.
        on_signature_changed: called when a refusal suggests that the model's signature has changed; must not raise.
    """

    __slots__ = (
        "_bytes_left",
        "_chunks",
        "_client_closed",
        "_consumed",
        "_credentials",
        "_decoder",
        "_end",
        "_error",
        "_hidden",
        "_on_end",
        "_on_signature_changed",
        "_state",
        "_wire_request",
        "attempts",
        "deadlines",
        "outputs_only",
        "request",
        "running",
        "stopwatch",
    )

    def __init__(
        self,
        request: GenerationRequest,
        wire_request: WireRequest,
        start: float,
        *,
        on_end: OnEnd | None = None,
        on_signature_changed: Callable[[], object] | None = None,
    ) -> None:
        options = request.options
        self.request = request
        self.attempts = 1
        self.stopwatch = Stopwatch(start)
        self.deadlines = Deadlines(options.timeouts.first_token, options.timeouts.between_tokens, start)
        self._wire_request = wire_request
        self._credentials = SignedCall(request.bearer, options.metadata)
        self._decoder = self._new_decoder()
        self._bytes_left = inf if options.max_output_bytes is None else options.max_output_bytes
        self._chunks: list[str] = []
        self._state = _State.RUNNING
        self.running = True
        """Whether the answer is still coming."""
        self.outputs_only = False
        """Whether the response that was received last has outputs that are asked for, and no new text."""
        self._client_closed = False
        self._consumed = False
        self._hidden = False
        self._error: RequestError | None = None
        self._end = start
        self._on_end = on_end
        self._on_signature_changed = on_signature_changed

    @property
    def message(self) -> Any:
        """The ``ModelInferRequest`` to send."""
        return self._wire_request.message

    @property
    def answered(self) -> bool:
        """Whether the text is complete; only the status of the call may be outstanding."""
        return self._decoder.finished

    @property
    def stopped_early(self) -> bool:
        """Whether a stop string ended the text while the server may still be generating."""
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
        left = self._state is _State.CANCELLED or self.stopped_early
        return _MOMENT if left and self.deadlines.responded else 0.0

    def remaining(self, now: float) -> float | None:
        """Return the seconds left of the total deadline, or None where there is none. Never negative."""
        timeout = self.request.options.timeouts.total
        return None if timeout is None else max(timeout - self.stopwatch.elapsed(now), 0.0)

    @property
    def text(self) -> str:
        """The text so far."""
        # Any thread may call this while another one appends: only read here.
        return "".join(self._chunks)

    def sign(self) -> Flow[Metadata]:
        """Return the metadata to send the request with."""
        request = self.request
        log_sending(request.model.server_name, request.request_id, request.target, self.attempts)
        return (yield from self._credentials.sign())

    def receive(self, response: Any, now: float, *, whole: bool = False) -> str:
        """Take a response and return its new text, which may be empty.

        Args:
            response: a serialized ``ModelStreamInferResponse``.
            now: clock reading.
            whole: whether it is the ``ModelInferResponse`` of a model that answers at once instead.

        Raises:
            RequestError: the response is an error or breaks the protocol.
        """
        try:
            text = self._decoder.feed_whole(response) if whole else self._decoder.feed(response)
        except RequestError as error:
            shown = self._credentials.hide(error)
            raise (shown if self._may_retry(shown) else self.failed(shown, now)) from None
        self.deadlines.responded = True
        if text:
            self._bytes_left -= len(text) if text.isascii() else len(text.encode())
            if self._bytes_left < 0:
                limit = self.request.options.max_output_bytes
                raise self.failed(ProtocolError(too_long(limit)), now, gap=True)
            self._chunks.append(text)
            self.stopwatch.arrived(now)
        if self._wire_request.extra_outputs:
            self.outputs_only = not text and bool(self._decoder.fresh_outputs)
        return text

    def delta(self, text: str) -> TextDelta:
        """Return the event for the text of a response, which `receive` returned."""
        decoder = self._decoder
        return TextDelta(text, decoder.take_logprobs(), decoder.fresh_outputs)

    def ended(self, now: float) -> str:
        """Take the regular end of the stream and return the text that was held back until then; usually there is none.

        Raises:
            IncompleteStreamError: the answer is not complete.
        """
        try:
            text = self._decoder.end()
            self.outputs_only = False
        except RequestError as error:
            cut = self.deadlines.expired is not None  # and an interceptor made a regular end of it
            raise self.failed(self.deadlines.error() if cut else error, now) from None
        if text:
            self._chunks.append(text)
            self.stopwatch.arrived(now)
        self._close(_State.FINISHED, now)
        return text

    def broken(self, error: RequestError, now: float) -> RequestError | None:
        """Take a failure of the call; return the error to raise, or None if the answer was already complete.

        If the session is still running afterwards, the request may be sent again: see `retry`.
        """
        if self.answered:
            self._close(_State.FINISHED, now)
            return None
        shown = self._credentials.hide(error)
        self._hidden = shown is not error
        error = shown
        if self.deadlines.expired is not None:
            error = self.deadlines.error()
        return error if self._may_retry(error) else self.failed(error, now)

    def cause(self, error: BaseException) -> BaseException | None:
        """Return the cause of the error that `broken` returned: the call's own, or None if it would show credentials."""
        return None if self._hidden else error

    def count_attempt(self) -> None:
        """Count another attempt."""
        self.attempts += 1

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
        log_retry(f"request={self.request.request_id}", error, pause)
        self.count_attempt()
        self._decoder = self._new_decoder()
        self.deadlines.sent(now + pause)
        return pause

    def _pause(self, error: RequestError, now: float, jitter: float) -> float | None:
        if isinstance(error, AuthenticationError):  # it is retried only with a new token
            return 0.0
        return next_pause(
            self.request.options.retry,
            error,
            attempt=self._tries,
            left=self.remaining(now),
            jitter=jitter,
        )

    @property
    def _tries(self) -> int:
        """The attempts that count for the retry policy: those with a renewed token do not."""
        return self.attempts - self._credentials.renewed

    def _note_refusal(self, error: RequestError) -> None:
        refused = isinstance(error, (RequestRejectedError, ModelUnavailableError))
        if refused and self._on_signature_changed is not None:
            self._on_signature_changed()

    def _may_retry(self, error: RequestError) -> bool:
        """Return whether `retry` may allow another attempt: only before anything of the answer has arrived."""
        self._note_refusal(error)
        if not self.running or self.deadlines.responded:
            return False
        return self._credentials.renews(error) or may_retry(self.request.options.retry, error, self._tries)

    def _new_decoder(self) -> StreamDecoder:
        request, wire_request = self.request, self._wire_request
        return StreamDecoder(
            wire_request.output_names,
            wire_request.stops,
            prompt=request.prompt,
            request_id=request.request_id,
            extra_outputs=wire_request.extra_outputs,
        )

    def failed(self, error: RequestError, now: float, *, gap: bool = False) -> RequestError:
        """End with an error, and return it with the facts of this generation.

        Args:
            error: the error.
            now: clock reading.
            gap: whether text was left out, so that the text that the decoder holds back does not follow the text so far.

        Raises:
            StreamClosedError: the caller closed the stream just before.
        """
        if self._state is _State.CANCELLED:
            self.check_running()
        if self.running:
            if not gap:
                self._chunks.append(self._decoder.flush())
            error = self._completed(error, now)
            self._note_refusal(error)
            self._error = error
            self._close(_State.FAILED, now)
        return error

    def _completed(self, error: RequestError, now: float) -> RequestError:
        request, text = self.request, self.text
        error = (
            with_sent_parameters(error, self.message)
            .completed(model=request.model.server_name, target=request.target, request_id=request.request_id)
            .with_facts(attempts=self.attempts, partial_text=text, retryable=error.retryable and not text)
        )
        if isinstance(error, DeadlineExceededError):
            return self._late(error, now)
        return self._cut_short(error) if isinstance(error, ConnectionFailedError) else error

    def _cut_short(self, error: ConnectionFailedError) -> ConnectionFailedError:
        """Return the error of a connection that broke with how far the answer had come: the server was reached."""
        if not self.deadlines.responded:
            return error
        some = self._amount(error.partial_text)
        details = error.message.removeprefix("cannot reach the server")
        if details == error.message:  # it says something else
            return error.with_facts(message=f"{error.message}; {some} had come before")
        return error.with_facts(message=f"the connection broke after {some}{details}")

    def _amount(self, text: str) -> str:
        chunks = self.stopwatch.chunks
        if not chunks:
            return "an answer without text"
        return f"{chunks} chunk{'' if chunks == 1 else 's'} of text ({len(text)} characters)"

    def _late(self, error: DeadlineExceededError, now: float) -> DeadlineExceededError:
        """Return the error of a deadline with the facts of this generation in its message."""
        chunks, elapsed = self.stopwatch.chunks, self.stopwatch.elapsed(now)
        limit, message = error.limit, error.message
        if error.deadline == "total":
            limit = self.request.options.timeouts.total
            if limit is None:  # the server's own deadline, or that of a proxy
                return error.with_facts(elapsed=elapsed, chunks=chunks, limit=None)
            message = f"the answer was not complete within the timeout of {limit:g} s"
        progress = self._amount(error.partial_text) if chunks else "no text"
        message = f"{message}: {progress} had come after {elapsed:.1f} s"
        return error.with_facts(message=message, elapsed=elapsed, chunks=chunks, limit=limit)

    def cancelled(self, now: float, later: Later | None = None, *, client_closed: bool = False) -> None:
        """End because the caller left the stream; without effect after the end.

        Args:
            now: clock reading.
            later: calls a function later. Destructors pass it, because the interrupted code may hold the locks of logging.
            client_closed: whether the client was closed.
        """
        if self.running:
            self._client_closed = client_closed
            self._close(_State.FINISHED if self.answered else _State.CANCELLED, now, later)

    def check_unread(self) -> None:
        """Raise the error of a reader that begins now: those of `check_running`, and one more.

        Raises:
            StreamConsumedError: the end was already delivered.
        """
        self.check_running()
        if self._consumed:
            raise StreamConsumedError("this stream was already read to its end; stream.result() has its text")

    def check_running(self) -> None:
        """Raise the error of a reader that goes on, if there is one.

        Raises:
            StreamClosedError: the caller closed the stream.
            RequestError: the generation failed; the same error again.
        """
        if self._error is not None:
            raise self._error
        if self._state is _State.CANCELLED:
            raise StreamClosedError(
                "the client was closed before the end of this stream, which cancelled the generation: keep it open until the"
                " stream was read; stream.result() has the text so far"
                if self._client_closed
                else "this stream was closed before its end, which cancelled the generation (leaving a for loop closes it"
                " too: use next(stream) to read single chunks); stream.result() has the text so far"
            )

    def consumed(self) -> str:
        """Mark the end of the stream as delivered and return "", the signal for it."""
        self._consumed, self.outputs_only = True, False
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
        """Return the generation; for a cancelled one, the text so far.

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
            model=self.request.model.server_name,
            request_id=self.request.request_id,
            attempts=self.attempts,
            logprobs=self._decoder.logprobs,
            outputs=self._decoder.latest_outputs,
        )

    def _close(self, state: _State, now: float, later: Later | None = None) -> None:
        if not self.running:  # another thread was first
            return
        self._state = state
        self.running = False
        self._end = now
        if logger.isEnabledFor(INFO):
            if later is None:
                self._log()
            else:
                later(self._log)
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)

    def _log(self) -> None:
        tokens = self._decoder.usage.output_tokens
        timing = self.stopwatch.timing(self._end, tokens)
        log_outcome(
            self.request.model.server_name,
            self.request.request_id,
            self._error or self._state.value,
            total=timing.total,
            first_token=timing.time_to_first_token,
            tokens=tokens,
            attempts=self.attempts,
        )


OnEnd: TypeAlias = Callable[[GenerationSession], None]
