"""Decode the answer of one request: from serialized responses to new text and the end of the answer.

The wrapping of the responses, their errors and the final mark are those of `StreamResponses`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nupic_client._core.generation.details import AnswerDetails
from nupic_client._core.generation.extra_outputs import ExtraOutputs
from nupic_client._core.generation.fast_path import FastPath
from nupic_client._core.generation.text import (
    CumulativeText,
    PromptRemover,
    StopScanner,
    TokenJoiner,
    Utf8Joiner,
)
from nupic_client._core.kserve.scalar_outputs import ScalarOutputs
from nupic_client._core.kserve.stream_responses import StreamResponses
from nupic_client.errors import ProtocolError
from nupic_client.results import FinishReason, TokenLogprob, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from nupic_client.backends.protocol import OutputNames

__all__ = ["StreamDecoder"]


class StreamDecoder:
    """Decode the responses of one request: call `feed` with each, and `end` when the stream ends.

    Args:
        output_names: names of the outputs that hold the answer.
        stops: strings that end the text, whether or not the backend knows them.
        prompt: removed from the beginning of the text where ``output_names.echo`` says that it may stand there.
        request_id: a response with another id is an error, one without an id is accepted; empty accepts any id.
        extra_outputs: the outputs besides the text that are asked for.
    """

    __slots__ = (
        "_advance",
        "_answer_indexes",
        "_cumulative",
        "_details",
        "_extra",
        "_fast_path",
        "_known_frames",
        "_output_names",
        "_prompt",
        "_request_id",
        "_responses",
        "_stops",
        "_tokens",
        "_utf8",
        "finished",
        "stopped_early",
    )

    def __init__(
        self,
        output_names: OutputNames,
        stops: Iterable[str] = (),
        *,
        prompt: str = "",
        request_id: str = "",
        extra_outputs: Collection[str] = (),
    ) -> None:
        self._output_names = output_names
        self._request_id = request_id
        self._utf8 = Utf8Joiner()
        self._cumulative = (
            None if output_names.cumulative is False else CumulativeText(cumulative=output_names.cumulative)
        )
        stops = tuple(stops)
        self._stops = StopScanner(stops) if stops else None
        self._tokens = None if output_names.detokenize is None else TokenJoiner(output_names.detokenize)
        self._prompt = PromptRemover(prompt) if output_names.echo and prompt else None
        has_details = (
            output_names.finish_reason
            or output_names.input_tokens
            or output_names.output_tokens
            or output_names.logprobs
        )
        self._details = AnswerDetails(output_names) if has_details else None
        self._answer_indexes: dict[str, tuple[int | float, ...]] = {}
        self._extra = ExtraOutputs(extra_outputs) if extra_outputs else None
        self._fast_path = FastPath()
        self._known_frames = self._fast_path.known
        self._advance: Callable[[bytes], str] = self._continued
        self._responses = StreamResponses(request_id, marks_end=output_names.marks_end)
        self._shorten()
        self.stopped_early = False
        """Whether a stop string ended the text while the server may still be generating."""
        self.finished = False
        """Whether the answer is complete: by the final mark or by a stop string."""

    @property
    def complete(self) -> bool:
        """Whether the server has said its last word: the final mark or an error. Only the call may still go on."""
        return self._responses.complete

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the text ended, once `finished`; None where the backend does not say."""
        if self.stopped_early:
            return FinishReason.STOP
        return None if self._details is None else self._details.finish_reason

    @property
    def usage(self) -> Usage:
        """The token counts so far."""
        return Usage() if self._details is None else self._details.usage

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """The log probabilities so far; None where they were not asked for."""
        return (
            tuple(self._details.logprobs)
            if self._details is not None and self._output_names.logprobs
            else None
        )

    @property
    def fresh_outputs(self) -> Mapping[str, Any] | None:
        """The outputs besides the text of the last response; None where none were asked for."""
        return None if self._extra is None else self._extra.fresh

    @property
    def latest_outputs(self) -> Mapping[str, Any] | None:
        """Each output besides the text as the last response that had it; None where none were asked for."""
        return None if self._extra is None else self._extra.latest

    def take_logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """Return the log probabilities that came since the last call; None where they were not asked for."""
        return (
            self._details.take_logprobs()
            if self._details is not None and self._output_names.logprobs
            else None
        )

    def feed(self, response: bytes) -> str:
        """Take the next response and return its new text, which is empty if nothing is certain yet.

        Args:
            response: a serialized ``ModelStreamInferResponse``.

        Raises:
            RequestError: the response is an error or breaks the protocol.
        """
        usual = self._known_frames.get(len(response))
        if usual is not None:
            before, after, start, end, tokens = usual
            if response.startswith(before) and response.endswith(after):
                if tokens and self._details is not None:
                    self._details.count(tokens)
                return self._advance(response[start:end])
        if self.stopped_early:
            return ""
        responses = self._responses
        answer, final = responses.read(response)
        return self._take_answer(answer, b"" if responses.bare else response, final=final)

    def feed_whole(self, answer: Any) -> str:
        """Take the only response of a model that answers at once and return its text.

        Args:
            answer: a ``ModelInferResponse``.

        Raises:
            RequestError: the response breaks the protocol.
        """
        return self._take_answer(answer, b"", final=True)

    def _take_answer(self, answer: Any, response: bytes, *, final: bool) -> str:
        self._responses.check_id(answer)
        if self.finished:
            raise ProtocolError(
                "the server sent another response after the one marked as final", request_id=answer.id
            )
        if self._extra is not None:
            self._extra.take(answer)
            response = b""  # whose other outputs count too: each one is parsed
        text = self._text(answer, None if final else response) if len(answer.outputs) else ""
        if final and not self.finished:
            text += self._finish()
        return text

    def end(self) -> str:
        """Take the end of the stream (status OK) and return the text that was held back.

        Raises:
            IncompleteStreamError: no response was marked as final.
        """
        if self._extra is not None:
            self._extra.fresh = {}
        if self.finished:
            return ""
        self._responses.check_end()
        return self._finish()

    def flush(self) -> str:
        """Return the text that was held back; called when no further response can decide about it."""
        text = self._flushed()
        if self._prompt is not None:
            text = self._prompt.feed(text) + self._prompt.flush()
        if self._stops is None or self.stopped_early:
            return "" if self.stopped_early else text
        text = self._stops.feed(text)
        self.stopped_early = self._stops.matched is not None
        return text if self.stopped_early else text + self._stops.flush()

    def _flushed(self) -> str:
        if self._tokens is not None:
            return self._tokens.flush()
        data = self._cumulative.flush() if self._cumulative is not None else b""
        return (self._utf8.feed(data) if data else "") + self._utf8.flush()

    def _finish(self) -> str:
        text = self.flush()
        self._complete()
        return text

    def _complete(self) -> None:
        self.finished = True
        self._fast_path.forget()

    def _text(self, answer: Any, response: bytes | None) -> str:
        """Return the new text of a response; its bytes are None where no response like it can follow."""
        outputs = ScalarOutputs(answer)
        if len(answer.outputs) > 1:
            outputs.check_single(self._answer_indexes)
        if self._tokens is not None:
            text = self._filtered(self._new_tokens(self._tokens, outputs))
        else:
            data = outputs.text(self._output_names.text)
            text = "" if data is None else self._advance(data)
        tokens = 0 if self._details is None else self._details.read(outputs)
        if response and tokens is not None and self._fast_path.should_learn(len(response)):
            self._learn(answer, outputs.index(self._output_names.text), response, tokens)
        return text

    def _learn(self, answer: Any, index: int | None, response: bytes, tokens: int) -> None:
        contents = answer.raw_output_contents
        if (
            index is not None
            and self._tokens is None
            and self._output_names.cumulative is not True
            and len(contents) == len(answer.outputs)
        ):
            self._fast_path.learn(response, contents, index, tokens)

    def _continued(self, data: bytes) -> str:
        """Return the new text in the text output of a response."""
        if self._cumulative is not None:
            try:
                data = self._cumulative.feed(data)
            except ValueError as error:
                raise ProtocolError(
                    f"{error}; register the model with text='delta' if it does not",
                    request_id=self._request_id,
                ) from None
            self._shorten()
        return self._filtered(self._utf8.feed(data))

    def _shorten(self) -> None:
        """Skip the filters that are not needed, or no longer needed."""
        if self._cumulative is not None and self._cumulative.decided_delta:
            self._cumulative = None
        if self._cumulative is None and self._prompt is None and self._stops is None:
            self._advance = self._utf8.feed

    def _filtered(self, text: str) -> str:
        if self._prompt is not None:
            text = self._prompt.feed(text)
        if self._stops is None:
            return text
        text = self._stops.feed(text)
        if self._stops.matched is not None:
            self.stopped_early = True
            self._complete()
        return text

    def _new_tokens(self, tokens: TokenJoiner, outputs: ScalarOutputs) -> str:
        ids = outputs.row(self._output_names.text)
        try:
            return tokens.feed([int(token) for token in ids])
        except Exception as error:  # NaN as an id, or whatever the caller's tokenizer raises
            raise outputs.error(
                f"output {self._output_names.text!r} has token ids that cannot be decoded: {error!r}"
            ) from error
