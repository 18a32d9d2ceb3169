"""What a generation gives: its text, how it ended, what it used and how long it took; and the events of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from nupic_client._public import publish

__all__ = [
    "Event",
    "FinishReason",
    "Finished",
    "Generation",
    "Latency",
    "TextDelta",
    "Timing",
    "TokenLogprob",
    "Usage",
]


class FinishReason(str, Enum):
    """Why a text ended. A ``str`` too: ``generation.finish_reason == "stop"`` holds."""

    STOP = "stop"
    """The model ended its answer, or a stop string was reached."""
    LENGTH = "length"
    """``max_tokens`` or the model's context was used up."""
    CANCELLED = "cancelled"
    """The caller left the stream before the end; the text is what had arrived."""
    OTHER = "other"
    """The backend gave a reason of its own; see its documentation."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts as the server reported them; ``None`` where it does not say, never a guess."""

    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """The sum, where both are known."""
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
    """How long a generation took, in seconds, by the definitions of NVIDIA's genai-perf.

    Args:
        total: from sending the request to the end of the answer.
        time_to_first_token: from sending the request to the first text; None when no text came.
        inter_token_latency: time between two tokens. The mean is (last - first) / (output tokens - 1); where the
            server does not count tokens each chunk of text counts as one. The percentiles are over the chunks.
            None with fewer than two.
        tokens_per_second: 1 / mean inter-token latency; None where the server does not count tokens.
        chunks: how many chunks of text arrived.
        chunks_per_second: 1 / mean time between two chunks; None with fewer than two.
    """

    total: float
    time_to_first_token: float | None = None
    inter_token_latency: Latency | None = None
    tokens_per_second: float | None = None
    chunks: int = 0
    chunks_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """How likely a token was.

    Args:
        logprob: natural logarithm of the probability of the chosen token.
        token: its text; None where the backend tells numbers only.
        token_id: its number in the model's vocabulary, or None.
        rank: 1 for the likeliest token at its place, or None.
        top_logprobs: the likeliest tokens at its place, as many as the server told, the likeliest first; the chosen one
            is among them.
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
        finish_reason: why it ended; None where the backend does not say.
        usage: token counts.
        timing: durations.
        model: the server's name of the model.
        request_id: the id the request was sent with.
        attempts: how often the request was sent; more than 1 after retries.
        logprobs: how likely each token was, where ``logprobs=`` asked for it; a stop string cuts the text, not these.
    """

    text: str = field(repr=False)  # prompts and answers stay out of logs unless asked for
    finish_reason: FinishReason | None
    usage: Usage
    timing: Timing
    model: str
    request_id: str
    attempts: int = 1
    logprobs: tuple[TokenLogprob, ...] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A chunk of new text.

    Args:
        text: the new text, never empty.
        logprobs: how likely the tokens were that came since the chunk before, where ``logprobs=`` asked for it.
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream that ran to its end.

    Args:
        generation: the finished generation.
    """

    generation: Generation


Event: TypeAlias = "TextDelta | Finished"
"""What ``stream.events()`` yields."""


publish(__name__)
