"""The state of one generation, from its request to its end: what `StreamSession` knows, and the text. Nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from nupic_client._core.calls.options import too_long
from nupic_client._core.calls.session import StreamSession
from nupic_client._core.calls.stream_state import State
from nupic_client._core.generation.decoder import StreamDecoder
from nupic_client._core.generation.output import growing_value, read_output, with_output
from nupic_client._core.generation.refusal import with_sent_parameters
from nupic_client._core.generation.timing import Stopwatch
from nupic_client.errors import ProtocolError, RequestError
from nupic_client.logs import log_outcome
from nupic_client.messages import Message, assistant
from nupic_client.observe import RequestOutcome
from nupic_client.results import FinishReason, Generation, TextDelta, Timing

if TYPE_CHECKING:
    from typing import Any

    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.placement import Affinity
    from nupic_client._core.generation.request import GenerationRequest, WireRequest
    from nupic_client._output_format import OutputFormat, Reading
    from nupic_client._partial_json import PartialJson
    from nupic_client.results import Event

__all__ = ["GenerationSession", "OnEnd"]


class GenerationSession(StreamSession[str]):
    """The state of one generation.

    Args:
        request: the generation, with the server's name of the model.
        wire_request: its message for the wire.
        start: clock reading when it is sent, in seconds.
        on_end: called once with the session when the generation has ended, however it ended; must not raise.
        on_signature_changed: called when a refusal suggests that the model's signature has changed; must not raise.
        observation: told of the request; None without an observer.
    """

    __slots__ = ("_bytes_left", "_chunks", "_reading", "_wire_request", "request", "stopwatch")

    _decoder: StreamDecoder
    _nothing = ""
    _content = "text"
    _consumed_words = "this stream was already read to its end; stream.result() has its text"
    _closed_words = (
        "this stream was closed before its end, which cancelled the generation (leaving a for loop closes it"
        " too: use next(stream) to read single chunks); stream.result() has the text so far"
    )
    _client_closed_words = (
        "the client was closed before the end of this stream, which cancelled the generation: keep it open until the"
        " stream was read; stream.result() has the text so far"
    )

    def __init__(
        self,
        request: GenerationRequest,
        wire_request: WireRequest,
        start: float,
        *,
        on_end: OnEnd | None = None,
        on_signature_changed: Callable[[], object] | None = None,
        observation: Observation | None = None,
    ) -> None:
        options = request.options
        super().__init__(
            options,
            model=request.model.server_name,
            target=request.target,
            request_id=request.request_id,
            bearer=request.bearer,
            start=start,
            on_end=on_end,
            on_signature_changed=on_signature_changed,
            observation=observation,
        )
        self.request = request
        self.stopwatch = Stopwatch(start)
        self._wire_request = wire_request
        self._decoder = self._new_decoder()
        self._bytes_left = inf if options.max_output_bytes is None else options.max_output_bytes
        self._chunks: list[str] = []
        self._reading: Reading | None = None

    @property
    def message(self) -> Any:
        """The ``ModelInferRequest`` to send."""
        return self._wire_request.message

    @property
    def items(self) -> int:
        """How many chunks of text have come."""
        return self.stopwatch.chunks

    @property
    def affinity(self) -> Affinity:
        """The session that the request belongs to; without one its first words: answers to the same beginning share work."""
        return self._options.session or self.request.prompt[:_SHARED]

    @property
    def first_response(self) -> float | None:
        """Clock reading of the first text, or None."""
        return self.stopwatch.first

    @property
    def text(self) -> str:
        """The text so far."""
        # Any thread may call this while another one appends: only read here.
        return "".join(self._chunks)

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
            raise self._refused(error, now) from None
        if not self.deadlines.responded:
            self._responded()
        if text:
            self._bytes_left -= len(text) if text.isascii() else len(text.encode())
            if self._bytes_left < 0:
                raise self.failed(ProtocolError(too_long(self._options.max_output_bytes)), now, gap=True)
            self._chunks.append(text)
            self.stopwatch.arrived(now)
            if self.first_due:
                self._tell_first(now)
        if self._wire_request.extra_outputs:
            self.outputs_only = not text and bool(self._decoder.fresh_outputs)
        return text

    def delta(self, text: str) -> TextDelta:
        """Return the event for the text of a response, which `receive` returned."""
        decoder = self._decoder
        return TextDelta(text, decoder.take_logprobs(), decoder.fresh_outputs)

    def events(self, text: str) -> Iterable[Event]:
        """Return the events of a response, whose text `receive` returned."""
        return (self.delta(text),)

    def last_events(self) -> Iterable[Event]:
        """Return the events of the end that came without text."""
        return ()

    def answer_message(self) -> Message:
        """Return the answer as a message of a conversation."""
        return assistant(self.text)

    def said(self) -> Message | None:
        """Return the answer as far as it came; None where nothing came."""
        return self.answer_message() if any(self._chunks) else None

    def ended(self, now: float) -> str:
        """Take the regular end of the stream and return the text that was held back until then; usually there is none.

        Raises:
            IncompleteStreamError: the answer is not complete.
        """
        try:
            text = self._decoder.end()
            self.outputs_only = False
        except RequestError as error:
            raise self._cut(error, now) from None
        if text:
            self._chunks.append(text)
            self.stopwatch.arrived(now)
            if self.first_due:
                self._tell_first(now)
        self._close(State.FINISHED, now)
        return text

    def failed(self, error: RequestError, now: float, *, gap: bool = False) -> RequestError:
        """End with an error, and return it with the facts of this generation.

        Args:
            error: the error.
            now: clock reading.
            gap: whether text was left out, so that the text that the decoder holds back does not follow the text so far.

        Raises:
            StreamClosedError: the caller closed the stream just before.
        """
        if self.running and not gap:
            self._release(now)
        return super().failed(error, now)

    def _release(self, now: float) -> None:  # noqa: ARG002 - for subclasses
        """Add the text that is held back to what has come, before an error ends the answer."""
        self._chunks.append(self._decoder.flush())

    def result(self) -> Generation:
        """Return the generation; for a cancelled one, the text so far.

        Raises:
            RequestError: it failed.
            OutputError: the text does not have the form that was asked for.
        """
        if self._error is not None:
            raise self._error
        cancelled = self._state is State.CANCELLED
        usage = self._decoder.usage
        generation = Generation(
            text=self.text,
            finish_reason=FinishReason.CANCELLED if cancelled else self._decoder.finish_reason,
            usage=usage,
            timing=self._timing(usage.output_tokens),
            model=self.model,
            request_id=self.request_id,
            attempts=self.attempts,
            logprobs=self._decoder.logprobs,
            outputs=self._decoder.latest_outputs,
        )
        form = self._options.output_format
        return generation if form is None or cancelled else self._with_output(form, generation)

    def _with_output(self, form: OutputFormat, generation: Generation) -> Generation:
        """Return the generation with the value of its text, which is read once."""
        if self._reading is None:
            self._reading = read_output(form, generation, self._options)
        return with_output(generation, self._reading)

    def growing_value(self) -> PartialJson:
        """Return what reads the answer as JSON while it comes.

        Raises:
            ConfigurationError: ``response_format`` asks for what is not JSON.
        """
        return growing_value(self._options.output_format)

    def _new_decoder(self) -> StreamDecoder:
        wire_request = self._wire_request
        return StreamDecoder(
            wire_request.output_names,
            wire_request.stops,
            prompt=self.request.prompt,
            request_id=self.request_id,
            extra_outputs=wire_request.extra_outputs,
        )

    def _completed(self, error: RequestError, now: float) -> RequestError:
        text = self.text
        error = with_sent_parameters(error, self.message)
        return super()._completed(
            error.with_facts(partial_text=text, retryable=error.retryable and not any(self._chunks)), now
        )

    def _amount(self) -> str:
        chunks = self.items
        return (
            f"{chunks} chunk{'' if chunks == 1 else 's'} of text ({len(self.text)} characters)"
            if chunks
            else ""
        )

    def _timing(self, tokens: int | None) -> Timing:
        waited = self.waited - self.waited_for_first if self.waited else None
        return self.stopwatch.timing(self._end, tokens, waited)

    def _log(self) -> None:
        tokens = self._decoder.usage.output_tokens
        timing = self._timing(tokens)
        log_outcome(
            self.model,
            self.request_id,
            self._error or self._state.value,
            total=timing.total,
            first_token=timing.time_to_first_token,
            tokens=tokens,
            attempts=self.attempt,
        )

    def _outcome(self) -> RequestOutcome:
        usage = self._decoder.usage
        facts = self._how_it_ended()
        reason = FinishReason.CANCELLED if facts["cancelled"] else self._decoder.finish_reason
        return RequestOutcome(
            **facts,
            finish_reason=None if facts["error"] is not None else reason,
            usage=usage,
            timing=self._timing(usage.output_tokens),
            streamed=not self.unary,
            output_bytes=len(self.text.encode()),
            chunk_times=self.stopwatch.times,
        )


_SHARED = 1024
"""Characters at the beginning of a prompt that make a session where none is given: servers keep what they made of them."""

OnEnd: TypeAlias = Callable[[GenerationSession], None]
