"""What is measured of a request, and the metrics of a benchmark, as genai-perf defines them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nupic_client.bench.statistics import Samples

__all__ = ["GOODPUT_METRICS", "METRICS", "Measurement", "Metric", "Recorder"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that each request has a value of.

    Args:
        name: genai-perf's.
        unit: of its export, where durations are milliseconds.
        streaming: whether only streamed answers have it.
    """

    name: str
    unit: str
    streaming: bool = False

    @property
    def factor(self) -> float:
        """What a value is multiplied by for the export."""
        return 1000.0 if self.unit == "ms" else 1.0


METRICS = (
    Metric("time_to_first_token", "ms", streaming=True),
    Metric("time_to_second_token", "ms", streaming=True),
    Metric("request_latency", "ms"),
    Metric("inter_token_latency", "ms", streaming=True),
    Metric("output_token_throughput_per_user", "tokens/sec/user", streaming=True),
    Metric("output_sequence_length", "tokens"),
    Metric("input_sequence_length", "tokens"),
)
"""The metrics of requests, in the order of genai-perf's tables."""
GOODPUT_METRICS = frozenset(metric.name for metric in METRICS[:5])
"""Those that a request may have to keep to."""


@dataclass(slots=True)
class Measurement:
    """One request that was answered. Times are readings of one clock, in seconds.

    Args:
        start: when it was sent, or should have been.
        first: when the first chunk of text was there; None where it was not streamed or had no text.
        second: when the second one was there.
        last: when the last one was there, or the whole answer.
        chunks: number of chunks; 0 where it was not streamed.
        output_tokens: the server's count; None without one.
        input_tokens: the server's count; None without one.
        words: number of words of the prompt.
    """

    start: float
    first: float | None
    second: float | None
    last: float
    chunks: int
    output_tokens: int | None
    input_tokens: int | None
    words: int = 0

    def values(self) -> Iterator[tuple[str, float]]:
        """Yield the metrics that it has a value of; output tokens are chunks where the server does not count."""
        yield "request_latency", self.last - self.start
        yield "input_sequence_length", self.words if self.input_tokens is None else self.input_tokens
        tokens = self.chunks if self.output_tokens is None else self.output_tokens
        if tokens:
            yield "output_sequence_length", tokens
        if self.first is None:
            return
        yield "time_to_first_token", self.first - self.start
        if self.second is None:
            return
        yield "time_to_second_token", self.second - self.first
        if tokens > 1 and self.last > self.first:
            latency = (self.last - self.first) / (tokens - 1)
            yield "inter_token_latency", latency
            yield "output_token_throughput_per_user", 1 / latency


class Recorder:
    """Collect what was measured.

    Args:
        goodput: the highest duration in seconds, or the lowest rate, that a good request has, by metric.
    """

    def __init__(self, goodput: Mapping[str, float] | None = None) -> None:
        self._goodput = goodput or {}
        self.samples: dict[str, Samples] = {metric.name: Samples() for metric in METRICS}
        self.send_delay: Samples = Samples()
        self.loop_delay: Samples = Samples()
        self.begin: float | None = None
        """The start of the first request that was answered."""
        self.end: float = 0.0
        """The end of the last one."""
        self.done: int = 0
        self.good: int = 0
        self.cut_off: int = 0
        self.counted_output: Counter[str] = Counter()
        self.counted_input: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.messages: dict[str, str] = {}
        """The first message of each kind of error."""
        self.last_error: Exception | None = None

    def add(self, measurement: Measurement) -> None:
        """Count a request that was answered."""
        self.done += 1
        start = measurement.start
        self.begin = start if self.begin is None else min(self.begin, start)
        self.end = max(self.end, measurement.last)
        values = dict(measurement.values())
        for name, value in values.items():
            self.samples[name].add(value)
        self.good += all(
            name in values and _is_good(name, values[name], limit) for name, limit in self._goodput.items()
        )
        if measurement.output_tokens is not None:
            self.counted_output["server"] += 1
        elif measurement.chunks:
            self.counted_output["chunks"] += 1
        self.counted_input["words" if measurement.input_tokens is None else "server"] += 1

    def fail(self, error: Exception) -> None:
        """Count a request that failed."""
        kind = type(error).__name__
        self.errors[kind] += 1
        self.last_error = error
        self.messages.setdefault(kind, str(error))

    @property
    def failed(self) -> int:
        """Number of requests that failed."""
        return sum(self.errors.values())

    @property
    def duration(self) -> float:
        """Seconds from the start of the first request to the end of the last one."""
        return 0.0 if self.begin is None else self.end - self.begin


def _is_good(name: str, value: float, limit: float) -> bool:
    return value >= limit if name == "output_token_throughput_per_user" else value <= limit
