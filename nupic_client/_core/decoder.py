"""The answer of one request: responses in, text and its end out.

Laws, observed on Triton 2.51.0:

1. The last response carries ``triton_final_response``: it is either the last content or an empty response after it.
2. An error is a text in ``error_message`` with gRPC status OK. It ends the answer; early errors carry no final mark.
3. A stream that ends without either was cut short, however regular its end looks.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal

from nupic_client._core import wire
from nupic_client._core.classify import stream_error
from nupic_client._core.extras import Extras
from nupic_client._core.outputs import bytes_output, numbers_output
from nupic_client._core.pieces import PromptRemover, TokenJoiner
from nupic_client._core.text import CumulativeText, StopScanner, Utf8Joiner
from nupic_client.errors import IncompleteStreamError, ProtocolError
from nupic_client.results import FinishReason, TextDelta, TokenLogprob, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nupic_client.backends.plan import AnswerLayout

__all__ = ["END", "NEED_DATA", "StreamDecoder"]


class _Signal(Enum):
    NEED_DATA = "NEED_DATA"
    END = "END"


NEED_DATA: Final = _Signal.NEED_DATA
"""`StreamDecoder.next_event`: give the next response to `StreamDecoder.receive` first."""
END: Final = _Signal.END
"""`StreamDecoder.next_event`: the answer is complete."""


class StreamDecoder:
    """Decode the responses of one request.

    Two ways to use it: `feed` returns the new text of a response (the short way, for the hot path); `receive` and
    `next_event` give events.

    Args:
        layout: where the parts of the answer stand.
        stops: strings that end the text, whether or not the backend knows them.
        prompt: removed where the layout says that the text may begin with it.
        request_id: a response with another id than this is an error; empty for not looking. Responses without an id
            are taken as they are.

    Example:
        >>> decoder = StreamDecoder(AnswerLayout())
        >>> decoder.next_event() is NEED_DATA
        True
    """

    __slots__ = (
        "_cumulative",
        "_events",
        "_extras",
        "_layout",
        "_prompt",
        "_request_id",
        "_stops",
        "_tokens",
        "_utf8",
        "finished",
    )

    def __init__(
        self, layout: AnswerLayout, stops: Iterable[str] = (), *, prompt: str = "", request_id: str = ""
    ) -> None:
        self._layout = layout
        self._request_id = request_id
        self._utf8 = Utf8Joiner()
        self._cumulative = (
            None if layout.cumulative is False else CumulativeText(cumulative=layout.cumulative)
        )
        stops = tuple(stops)
        self._stops = StopScanner(stops) if stops else None
        self._tokens = None if layout.detokenize is None else TokenJoiner(layout.detokenize)
        self._prompt = PromptRemover(prompt) if layout.echo and prompt else None
        tells = layout.finish_reason or layout.input_tokens or layout.output_tokens or layout.logprobs
        self._extras = Extras(layout) if tells else None
        self._events: deque[TextDelta] = deque()
        self.finished: bool = False
        """Whether the answer is complete: by the final mark or by a stop string."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the text ended, once `finished`; None where the backend does not say."""
        if self.stopped_early:
            return FinishReason.STOP
        return None if self._extras is None else self._extras.finish_reason

    @property
    def usage(self) -> Usage:
        """The token counts so far."""
        return Usage() if self._extras is None else self._extras.usage

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """The log probabilities so far; None where they were not asked for."""
        return tuple(self._extras.logprobs) if self._extras is not None and self._layout.logprobs else None

    def take_logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """Return the log probabilities that came since the last call; None where they were not asked for."""
        return self._extras.take_logprobs() if self._extras is not None and self._layout.logprobs else None

    @property
    def stopped_early(self) -> bool:
        """Whether a stop string ended the text while the server may still be generating."""
        return self._stops is not None and self._stops.matched is not None

    def receive(self, response: Any | None) -> None:
        """Take the next response, or None for the end of the stream.

        Raises:
            RequestError: the response is an error or breaks the protocol, or the stream was cut short.
        """
        text = self.feed(response) if response is not None else self.end()
        if text:
            self._events.append(TextDelta(text, self.take_logprobs()))

    def next_event(self) -> TextDelta | Literal[_Signal.NEED_DATA, _Signal.END]:
        """Return the next piece of text, `NEED_DATA`, or `END` when the answer is complete."""
        if self._events:
            return self._events.popleft()
        return END if self.finished else NEED_DATA

    def feed(self, response: Any) -> str:
        """Take the next response and return its new text, which is empty if nothing is certain yet.

        Args:
            response: a ``ModelStreamInferResponse``, or None for bytes that are none.

        Raises:
            RequestError: as `receive`.
        """
        if self.stopped_early:
            return ""
        if response is None:  # what grpc.aio gives for bytes that it cannot read
            raise ProtocolError("the server sent a response that cannot be read", request_id=self._request_id)
        if response.error_message:
            raise self._failed(response)
        answer = response.infer_response
        if answer.id != self._request_id:
            self._check_id(answer.id)
        if self.finished:
            raise ProtocolError(
                "the server sent another response after the one marked as final", request_id=answer.id
            )
        text = self._text(answer) if len(answer.outputs) else ""
        parameters = answer.parameters
        if (
            wire.FINAL_PARAMETER in parameters
            and parameters[wire.FINAL_PARAMETER].bool_param
            and not self.finished
        ):
            text += self._finish()
        return text

    def end(self) -> str:
        """Take the end of the stream (status OK).

        Raises:
            IncompleteStreamError: no response was marked as final.
        """
        if not self.finished:
            raise IncompleteStreamError(
                "the server ended the stream before the answer was complete: no response was marked as final"
            )
        return ""

    def flush(self) -> str:
        """Return the text that was held back for a decision that can no longer come: the stream broke."""
        text = self._flushed()
        if self._prompt is not None:
            text = self._prompt.feed(text) + self._prompt.flush()
        if self._stops is None or self.stopped_early:
            return "" if self.stopped_early else text
        text = self._stops.feed(text)
        return text if self._stops.matched is not None else text + self._stops.flush()

    def _flushed(self) -> str:
        if self._tokens is not None:
            return self._tokens.flush()
        data = self._cumulative.flush() if self._cumulative is not None else b""
        return (self._utf8.feed(data) if data else "") + self._utf8.flush()

    def _finish(self) -> str:
        text = self.flush()
        self.finished = True
        return text

    def _check_id(self, found: str) -> None:
        if found and self._request_id:
            raise ProtocolError(
                f"the server sent an answer to another request, {found!r}", request_id=self._request_id
            )

    def _failed(self, response: Any) -> Exception:
        error = stream_error(response.error_message)
        error.request_id = response.infer_response.id
        return error

    def _text(self, answer: Any) -> str:
        text = self._new_text(answer)
        if self._extras is not None:
            self._extras.read(answer)
        if self._prompt is not None:
            text = self._prompt.feed(text)
        if self._stops is None:
            return text
        text = self._stops.feed(text)
        if self._stops.matched is not None:
            self.finished = True
        return text

    def _new_text(self, answer: Any) -> str:
        if self._tokens is not None:
            return self._new_tokens(self._tokens, answer)
        data = bytes_output(answer, self._layout.text)
        if data is None:
            return ""
        if self._cumulative is not None:
            try:
                data = self._cumulative.feed(data)
            except ValueError as error:
                raise ProtocolError(
                    f"{error}; register the model with text='delta' if it does not", request_id=answer.id
                ) from None
        return self._utf8.feed(data)

    def _new_tokens(self, tokens: TokenJoiner, answer: Any) -> str:
        ids = numbers_output(answer, self._layout.text)
        try:
            return tokens.feed([int(token) for token in ids])
        except (
            Exception
        ) as error:  # ids that are no numbers, or that the caller's tokenizer fails on in its own way
            raise ProtocolError(
                f"output {self._layout.text!r} has token ids that cannot be decoded: {error!r}",
                request_id=answer.id,
            ) from error
