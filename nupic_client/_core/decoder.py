"""The answer of one request: responses in, text and its end out.

Laws, observed on Triton 2.51.0:

1. The last response carries ``triton_final_response``: it is either the last content or an empty response after it.
2. An error is a text in ``error_message`` with gRPC status OK. It ends the answer; early errors carry no final mark.
3. A stream that ends without either was cut short, however regular its end looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, Literal

from nupic_client._core import wire
from nupic_client._core.classify import stream_error
from nupic_client._core.text import CumulativeText, StopScanner, Utf8Joiner
from nupic_client.backends.plan import AnswerLayout
from nupic_client.errors import IncompleteStreamError, ProtocolError
from nupic_client.results import FinishReason, TextDelta, Usage

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

    Example:
        >>> decoder = StreamDecoder(AnswerLayout())
        >>> decoder.next_event() is NEED_DATA
        True
    """

    __slots__ = (
        "_cumulative",
        "_events",
        "_has_extras",
        "_input_tokens",
        "_layout",
        "_output_tokens",
        "_stops",
        "_utf8",
        "finish_reason",
        "finished",
    )

    def __init__(self, layout: AnswerLayout, stops: Iterable[str] = ()) -> None:
        self._layout = layout
        self._utf8 = Utf8Joiner()
        self._cumulative = (
            None if layout.cumulative is False else CumulativeText(cumulative=layout.cumulative)
        )
        stops = tuple(stops)
        self._stops = StopScanner(stops) if stops else None
        self._has_extras = bool(layout.finish_reason or layout.input_tokens or layout.output_tokens)
        self._events: deque[TextDelta] = deque()
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None
        self.finish_reason: FinishReason | None = None
        """Why the text ended, once `finished`; None where the backend does not say."""
        self.finished: bool = False
        """Whether the answer is complete: by the final mark or by a stop string."""

    @property
    def usage(self) -> Usage:
        """The token counts so far."""
        return Usage(input_tokens=self._input_tokens, output_tokens=self._output_tokens)

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
            self._events.append(TextDelta(text))

    def next_event(self) -> TextDelta | Literal[_Signal.NEED_DATA, _Signal.END]:
        """Return the next piece of text, `NEED_DATA`, or `END` when the answer is complete."""
        if self._events:
            return self._events.popleft()
        return END if self.finished else NEED_DATA

    def feed(self, response: Any) -> str:
        """Take the next response and return its new text, which is empty if nothing is certain yet.

        Args:
            response: a ``ModelStreamInferResponse``.

        Raises:
            RequestError: as `receive`.
        """
        if self.stopped_early:
            return ""
        if response.error_message:
            raise self._failed(response)
        answer = response.infer_response
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
        data = self._cumulative.flush() if self._cumulative is not None else b""
        text = (self._utf8.feed(data) if data else "") + self._utf8.flush()
        if self._stops is None or self.stopped_early:
            return "" if self.stopped_early else text
        text = self._stops.feed(text)
        return text if self._stops.matched is not None else text + self._stops.flush()

    def _finish(self) -> str:
        text = self.flush()
        self.finished = True
        if self.stopped_early:
            self.finish_reason = FinishReason.STOP
        return text

    def _failed(self, response: Any) -> Exception:
        error = stream_error(response.error_message)
        error.request_id = response.infer_response.id
        return error

    def _text(self, answer: Any) -> str:
        data = self._content(answer, self._layout.text)
        if self._has_extras:
            self._read_extras(answer)
        if data is None:
            return ""
        if self._cumulative is not None:
            try:
                data = self._cumulative.feed(data)
            except ValueError as error:
                raise ProtocolError(
                    f"{error}; register the model with text='delta' if it does not", request_id=answer.id
                ) from None
        text = self._utf8.feed(data)
        if self._stops is None:
            return text
        text = self._stops.feed(text)
        if self._stops.matched is not None:
            self.finished = True
            self.finish_reason = FinishReason.STOP
        return text

    def _content(self, answer: Any, name: str) -> bytes | None:
        """Return the one element of a BYTES output; None where the response does not have it or it is empty."""
        index = _index(answer.outputs, name)
        if index is None:
            return None
        output = answer.outputs[index]
        if output.datatype != "BYTES":
            raise ProtocolError(
                f"output {name!r} should be BYTES, the server sent {output.datatype}", request_id=answer.id
            )
        if index < len(answer.raw_output_contents):
            raw = answer.raw_output_contents[index]
            length = len(raw) - 4
            if length >= 0 and int.from_bytes(raw[:4], "little") == length:
                return raw[4:]  # type: ignore[no-any-return]  # one element, as nearly always
            try:
                elements = wire.decode_bytes_tensor(raw)
            except ValueError as error:
                raise ProtocolError(f"output {name!r}: {error}", request_id=answer.id) from None
        elif answer.raw_output_contents:
            raise ProtocolError(f"output {name!r} has no content, although others have", request_id=answer.id)
        else:
            elements = list(output.contents.bytes_contents)
        if len(elements) > 1:
            raise ProtocolError(
                f"output {name!r} should have one element, the server sent {len(elements)}",
                request_id=answer.id,
            )
        return elements[0] if elements else None

    def _read_extras(self, answer: Any) -> None:
        layout = self._layout
        if layout.finish_reason:
            reason = self._content(answer, layout.finish_reason)
            if reason and reason != b"None":
                self.finish_reason = _REASONS.get(reason.decode(errors="replace").lower(), FinishReason.OTHER)
        if layout.input_tokens:
            count = _count(answer, layout.input_tokens)
            self._input_tokens = count if count is not None else self._input_tokens
        if layout.output_tokens:
            count = _count(answer, layout.output_tokens)
            if count is not None:
                self._output_tokens = (self._output_tokens or 0) + count


_REASONS = {reason.value: reason for reason in FinishReason}


def _index(outputs: Any, name: str) -> int | None:
    for index, output in enumerate(outputs):
        if output.name == name:
            return index
    return None


def _count(answer: Any, name: str) -> int | None:
    index = _index(answer.outputs, name)
    if index is None:
        return None
    output = answer.outputs[index]
    if index < len(answer.raw_output_contents):
        value = wire.decode_number(output.datatype, answer.raw_output_contents[index])
    else:
        contents = output.contents
        numbers = (
            contents.uint_contents
            or contents.int_contents
            or contents.uint64_contents
            or contents.int64_contents
        )
        value = numbers[0] if numbers else None
    # NaN, infinity, a half or -1 is no count: unknown is better than wrong.
    return value if isinstance(value, int) and value >= 0 else None
