"""The result of a generation: text, finish reason, usage and timing; and the events of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from nupic_client._public import publish
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
    """Token counts as the server reports them; ``None`` if it does not, never a guess."""

    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """The sum, if both are known."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A distribution of durations, in seconds."""

    mean: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The durations of a generation in seconds, as NVIDIA's genai-perf defines them.

    Args:
        total: from the request to the end of the answer.
        time_to_first_token: from the request to the first text; None without text.
        inter_token_latency: time between two tokens. The mean is (last - first) / (output tokens - 1); if the server
            does not count tokens, each chunk of text counts as one. The percentiles are over the chunks. None with
            fewer than two.
        tokens_per_second: 1 / mean inter-token latency; None if the server does not count tokens.
        chunks: number of chunks of text.
        chunks_per_second: 1 / mean time between two chunks; None with fewer than two.
        time_to_answer: from the request to the first text of the answer itself, where its reasoning or calls of tools are
            read apart from it; `time_to_first_token` counts those too.
    """

    total: float
    time_to_first_token: float | None = None
    inter_token_latency: Latency | None = None
    tokens_per_second: float | None = None
    chunks: int = 0
    chunks_per_second: float | None = None
    time_to_answer: float | None = None


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
    token: str | None = None
    token_id: int | None = None
    rank: int | None = None
    top_logprobs: tuple[TokenLogprob, ...] = ()


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
    finish_reason: FinishReason | None
    usage: Usage
    timing: Timing
    model: str
    request_id: str
    attempts: tuple[Attempt, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = field(default=None, repr=False)
    outputs: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    parsed: Any = field(default=None, repr=False, compare=False)
    reasoning: str | None = field(default=None, repr=False)
    tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    invalid_tool_calls: tuple[str, ...] = field(default=(), repr=False)

    @property
    def endpoint(self) -> str:
        """The address of the server that answered."""
        return self.attempts[-1].endpoint if self.attempts else ""

    def __str__(self) -> str:
        return self.text


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
    logprobs: tuple[TokenLogprob, ...] | None = None
    outputs: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A chunk of the model's reasoning, which is no part of the answer's text.

    Args:
        text: the new reasoning; never empty.
    """

    text: str


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
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolArguments:
    """A piece of a call's arguments. All the pieces of a call together are the JSON text of its arguments.

    Args:
        index: the number of the call.
        json_delta: the new piece; never empty.
    """

    index: int
    json_delta: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream that ran to its end.

    Args:
        generation: the finished generation.
    """

    generation: Generation


Event: TypeAlias = TextDelta | ReasoningDelta | ToolCallStarted | ToolArguments | ToolCall | Finished
"""An item of ``stream.events()``."""


publish(__name__)
