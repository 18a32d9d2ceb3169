"""The metrics of requests."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from opentelemetry.metrics import Counter, Histogram, Meter

from nupic_client import RequestOutcome
from nupic_client.integrations.opentelemetry.names import SECONDS, TOKENS, Metrics, Names

__all__ = ["Instruments"]


class Instruments:
    """The instruments for one kind of operation.

    Args:
        meter: what makes them.
        names: of attributes.
        metrics: their names.
        every_chunk: whether the time between two chunks is recorded.
    """

    def __init__(self, meter: Meter, names: Names, metrics: Metrics, *, every_chunk: bool) -> None:
        self._names = names
        self._duration = meter.create_histogram(
            metrics.duration, "s", "Duration of the operation.", explicit_bucket_boundaries_advisory=SECONDS
        )
        self._tokens = _histogram(
            meter, metrics.tokens, "{token}", "Number of input and output tokens used.", TOKENS
        )
        self._input = _histogram(
            meter, metrics.input_tokens, "{token}", "Input tokens of an operation.", TOKENS
        )
        self._output = _histogram(
            meter, metrics.output_tokens, "{token}", "Output tokens of an operation.", TOKENS
        )
        self._total_input = _counter(meter, metrics.total_input_tokens, "Input tokens used.")
        self._total_output = _counter(meter, metrics.total_output_tokens, "Output tokens used.")
        self._first = _histogram(meter, metrics.first_chunk, "s", "Time to the first chunk.", SECONDS)
        every = metrics.next_chunk if every_chunk else ""
        self._next = _histogram(meter, every, "s", "Time from one chunk to the next.", SECONDS)

    def record(self, outcome: RequestOutcome, attributes: dict[str, Any], context: Any) -> None:
        """Record the end of a request.

        Args:
            outcome: how it ended.
            attributes: of the metrics.
            context: with the span, for exemplars.
        """
        self._duration.record(outcome.timing.total, attributes, context)
        self._record_tokens(outcome, attributes, context)
        times = outcome.chunk_times if outcome.streamed else ()
        if self._first is not None and times:
            self._first.record(times[0], attributes, context)
        if self._next is not None:
            for before, after in pairwise(times):
                self._next.record(after - before, attributes, context)

    def _record_tokens(self, outcome: RequestOutcome, attributes: dict[str, Any], context: Any) -> None:
        """Record the tokens where the server counts them: what it does not say must not be guessed."""
        for kind, count, total, single in (
            ("input", outcome.usage.input_tokens, self._total_input, self._input),
            ("output", outcome.usage.output_tokens, self._total_output, self._output),
        ):
            if count is None:
                continue
            if self._tokens is not None:
                self._tokens.record(count, {**attributes, self._names.token_type: kind}, context)
            if total is not None:
                total.add(count, attributes, context)
            if single is not None:
                single.record(count, attributes, context)


def _histogram(
    meter: Meter, name: str, unit: str, description: str, boundaries: tuple[float, ...]
) -> Histogram | None:
    if not name:
        return None
    return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=boundaries)


def _counter(meter: Meter, name: str, description: str) -> Counter | None:
    return meter.create_counter(name, "{token}", description) if name else None
