"""The result of a generation: text, finish reason, usage and timing; and the events of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from nupic_client._answer_display import describe, markdown, plain
from nupic_client._public import publish
from nupic_client._repr import short_repr
from nupic_client.attempts import Attempt
from nupic_client.tools import ToolCall

__all__ = [
    "Event",
    "FinishReason",
    "Finished",
    "Generation",
    "Latency",
    "ReasoningDelta",
    "TextDelta",
    "Timing",
    "TokenLogprob",
    "ToolArguments",
    "ToolCallStarted",
    "Usage",
]


class FinishReason(str, Enum):
    """The reason why a text ended. Also a ``str``: ``generation.finish_reason == "stop"`` holds."""

    STOP = "stop"
    """The model ended its answer, or a stop string was reached."""
    LENGTH = "length"
    """``max_tokens`` or the end of the model's context was reached."""
    CANCELLED = "cancelled"
    """The caller left the stream before its end; the text is the part that had arrived."""
    OTHER = "other"
    """The backend gave another reason; see its documentation."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts as the server reports them; ``None`` if it does not, never a guess.

    Args:
        input_tokens: tokens of the prompt.
        output_tokens: tokens of the answer.
    """

    input_tokens: int | None = None
    """Tokens of the prompt."""
    output_tokens: int | None = None
    """Tokens of the answer."""

    @property
    def total_tokens(self) -> int | None:
        """The sum, if both are known."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A distribution of durations, in seconds.

    Args:
        mean: their mean.
        p50: their median.
        p99: the one that 99 of 100 do not exceed.
    """

    mean: float
    """Their mean."""
    p50: float
    """Their median."""
    p99: float
    """The one that 99 of 100 do not exceed."""

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The durations of a generation in seconds, as NVIDIA's genai-perf defines them.

    They are those of the reader: a chunk counts when it is read. There is no rate where it would say nothing about the
    server: for chunks that were all there when they were read, and for a reader that took longer with the chunks than they
    took to come, as a callback that works may.

    Args:
        total: from the request to the end of the answer.
        time_to_first_token: from the request to the first text; None without text.
        inter_token_latency: time between two tokens. The mean is (last - first) / (output tokens - 1); if the server
            does not count tokens, each chunk of text counts as one. The percentiles are over the chunks. None with
            fewer than two.
        tokens_per_second: 1 / mean inter-token latency; None if the server does not count tokens, and where a rate would say
            nothing.
        chunks: number of chunks of text.
        chunks_per_second: 1 / mean time between two chunks; None with fewer than two, and where a rate would say nothing.
        time_to_answer: from the request to the first text of the answer itself, where its reasoning or calls of tools are
            read apart from it; `time_to_first_token` counts those too.
    """

    total: float
    """From the request to the end of the answer."""
    time_to_first_token: float | None = None
    """From the request to the first text; None without text."""
    inter_token_latency: Latency | None = None
    """Time between two tokens. The mean is (last - first) / (output tokens - 1); if the server does not count
    tokens, each chunk of text counts as one. The percentiles are over the chunks. None with fewer than two."""
    tokens_per_second: float | None = None
    """1 / mean inter-token latency; None if the server does not count tokens, and where a rate would say nothing."""
    chunks: int = 0
    """Number of chunks of text."""
    chunks_per_second: float | None = None
    """1 / mean time between two chunks; None with fewer than two, and where a rate would say nothing."""
    time_to_answer: float | None = None
    """From the request to the first text of the answer itself, where its reasoning or calls of tools are read apart
    from it; `time_to_first_token` counts those too."""

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """The log probability of a token.

    Args:
        logprob: natural logarithm of the probability of the chosen token.
        token: the text of the token; None if the backend reports numbers only.
        token_id: its number in the model's vocabulary, or None.
        rank: its rank at its position, 1 for the likeliest token, or None.
        top_logprobs: the likeliest tokens at its position, the likeliest first, as many as the server reports; they
            include the chosen one.
    """

    logprob: float
    """Natural logarithm of the probability of the chosen token."""
    token: str | None = None
    """The text of the token; None if the backend reports numbers only."""
    token_id: int | None = None
    """Its number in the model's vocabulary, or None."""
    rank: int | None = None
    """Its rank at its position, 1 for the likeliest token, or None."""
    top_logprobs: tuple[TokenLogprob, ...] = ()
    """The likeliest tokens at its position, the likeliest first, as many as the server reports; they include the
    chosen one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A finished generation. ``str(generation)`` is its text.

    Args:
        text: the whole text, without the stop string that ended it.
        finish_reason: why it ended; None if the backend does not report it.
        usage: token counts.
        timing: durations.
        model: the server's name of the model.
        request_id: the id the request was sent with.
        attempts: those of the request with the last one, each with where it went, its outcome and its duration.
        logprobs: the log probabilities of the tokens, if ``logprobs=`` asks for them; a stop string cuts the text, not
            these.
        outputs: the outputs besides the text that ``outputs=`` asks for, by name: each as the last response that had it, as
            in `TextDelta`.
        parsed: the value of the text, where ``response_format=`` asks for one: an object of the class that was given, what
            ``json.loads`` gives for a JSON Schema, the text for `Regex`, `Choice` and `Grammar`. None without it, and for a
            cancelled generation.
        reasoning: what the model thought before it answered, where the format of its family marks that; it is no part of
            ``text``.
        tool_calls: the tools that the model calls, of those that ``tools=`` offers. A call that was cut off is none.
        invalid_tool_calls: what began as a call and is none, as the model wrote it. It is in ``text``, too.
    """

    text: str = field(repr=False)  # a repr is often logged, and answers stay out of logs
    """The whole text, without the stop string that ended it."""
    finish_reason: FinishReason | None
    """Why it ended; None if the backend does not report it."""
    usage: Usage
    """Token counts."""
    timing: Timing
    """Durations."""
    model: str
    """The server's name of the model."""
    request_id: str
    """The id the request was sent with."""
    attempts: tuple[Attempt, ...] = ()
    """Those of the request with the last one, each with where it went, its outcome and its duration."""
    logprobs: tuple[TokenLogprob, ...] | None = field(default=None, repr=False)
    """The log probabilities of the tokens, if ``logprobs=`` asks for them; a stop string cuts the text, not
    these."""
    outputs: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """The outputs besides the text that ``outputs=`` asks for, by name: each as the last response that had it, as in
    `TextDelta`."""
    parsed: Any = field(default=None, repr=False, compare=False)
    """The value of the text, where ``response_format=`` asks for one: an object of the class that was given, what
    ``json.loads`` gives for a JSON Schema, the text for `Regex`, `Choice` and `Grammar`. None without it, and for a
    cancelled generation."""
    reasoning: str | None = field(default=None, repr=False)
    """What the model thought before it answered, where the format of its family marks that; it is no part of
    ``text``."""
    tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    """The tools that the model calls, of those that ``tools=`` offers. A call that was cut off is none."""
    invalid_tool_calls: tuple[str, ...] = field(default=(), repr=False)
    """What began as a call and is none, as the model wrote it. It is in ``text``, too."""

    @property
    def endpoint(self) -> str:
        """The address of the server that answered."""
        return self.attempts[-1].endpoint if self.attempts else ""

    def __str__(self) -> str:
        return self.text

    # Without any text, which stays out of logs; what only an interactive shell calls shows it.
    def __repr__(self) -> str:
        shown = describe(self)
        return f"<Generation {shown}>" if shown else "<Generation>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001 - IPython's
        if cycle or len(getattr(printer, "stack", ())) > 1:  # one of a list
            printer.text(repr(self))
        else:
            printer.text(plain(self))

    def _repr_markdown_(self) -> str:
        return markdown(self)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A chunk of new text.

    With ``outputs=`` each response that has some of these outputs is an event, whether or not it brings new text: its text
    may wait for the next response, as half a character does. Iterating over the stream itself still yields text only.

    Args:
        text: the new text; never empty without ``outputs=``.
        logprobs: the log probabilities of the tokens since the last chunk, if ``logprobs=`` asks for them.
        outputs: the outputs of this response that ``outputs=`` asks for, numpy arrays by name; None if it was not given.
            Numeric ones are read-only, BF16 comes as float32. Elements of BYTES outputs are ``str``; bytes that are not
            UTF-8 are escaped as Python does in file names, so that ``text.encode(errors="surrogateescape")`` gives them
            back.
    """

    text: str
    """The new text; never empty without ``outputs=``."""
    logprobs: tuple[TokenLogprob, ...] | None = None
    """The log probabilities of the tokens since the last chunk, if ``logprobs=`` asks for them."""
    outputs: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """The outputs of this response that ``outputs=`` asks for, numpy arrays by name; None if it was not given.
    Numeric ones are read-only, BF16 comes as float32. Elements of BYTES outputs are ``str``; bytes that are not
    UTF-8 are escaped as Python does in file names, so that ``text.encode(errors="surrogateescape")`` gives them
    back."""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A chunk of the model's reasoning, which is no part of the answer's text.

    Args:
        text: the new reasoning; never empty.
    """

    text: str
    """The new reasoning; never empty."""


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A tool call whose name is known. Its arguments follow, and a `nupic_client.ToolCall` when it is complete.

    A call that never becomes complete, because the model was cut off or wrote something that is no JSON, is text: its
    number is not used again.

    Args:
        index: the number of the call in the answer, from 0.
        id: its id: the model's own, or a new one.
        name: the name of the tool, as the model wrote it.
    """

    index: int
    """The number of the call in the answer, from 0."""
    id: str
    """Its id: the model's own, or a new one."""
    name: str
    """The name of the tool, as the model wrote it."""


@dataclass(frozen=True, slots=True)
class ToolArguments:
    """A piece of a call's arguments. All the pieces of a call together are the JSON text of its arguments.

    Args:
        index: the number of the call.
        json_delta: the new piece; never empty.
    """

    index: int
    """The number of the call."""
    json_delta: str
    """The new piece; never empty."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream that ran to its end.

    Args:
        generation: the finished generation.
    """

    generation: Generation
    """The finished generation."""


Event: TypeAlias = TextDelta | ReasoningDelta | ToolCallStarted | ToolArguments | ToolCall | Finished
"""An item of ``stream.events()``."""


publish(__name__)
