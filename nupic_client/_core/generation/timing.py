"""Durations of a generation, computed from the arrival times of its chunks. Receives clock readings, never takes one."""

from __future__ import annotations

from array import array
from operator import sub

from nupic_client.results import Latency, Timing

__all__ = ["Stopwatch"]


class Stopwatch:
    """Collect the arrival times of one generation, 8 bytes a chunk.

    Args:
        start: clock reading when the request was sent, in seconds.
    """

    __slots__ = ("_arrivals", "_start", "arrived")

    def __init__(self, start: float) -> None:
        self._start = start
        self._arrivals = array("d")
        self.arrived = self._arrivals.append
        """Call with the clock reading at which a chunk of text arrived."""

    @property
    def chunks(self) -> int:
        """How many chunks of text have arrived."""
        return len(self._arrivals)

    @property
    def first(self) -> float | None:
        """The clock reading of the first chunk of text, or None."""
        return self._arrivals[0] if self._arrivals else None

    @property
    def times(self) -> tuple[float, ...]:
        """The seconds from the request to each chunk of text."""
        start = self._start
        return tuple([arrival - start for arrival in self._arrivals])

    def elapsed(self, now: float) -> float:
        """Return the seconds since the request was sent."""
        return now - self._start

    def timing(self, end: float, output_tokens: int | None, waited: float | None = None) -> Timing:
        """Return the figures of the generation.

        Args:
            end: clock reading at the end of the answer.
            output_tokens: the server's count, or None.
            waited: how many of the seconds since the first response the reader has waited; None where that is not known.
        """
        arrivals = self._arrivals
        chunks = len(arrivals)
        if not chunks:
            return Timing(total=end - self._start)
        span = arrivals[-1] - arrivals[0]
        per_chunk = span / (chunks - 1) if chunks > 1 else None
        counts_tokens = output_tokens is not None and output_tokens > 1 and chunks > 1
        per_token = span / (output_tokens - 1) if counts_tokens and output_tokens else per_chunk
        has_rate = per_chunk is not None and per_chunk >= _BURST and (waited is None or waited >= span / 2)
        return Timing(
            total=end - self._start,
            time_to_first_token=arrivals[0] - self._start,
            inter_token_latency=None if per_token is None else _latency(arrivals, per_token),
            tokens_per_second=1 / per_token if has_rate and counts_tokens and per_token else None,
            chunks=chunks,
            chunks_per_second=1 / per_chunk if has_rate and per_chunk else None,
        )


_BURST = 0.000_2
"""Seconds between chunks: those that come faster were all there when they were read. No model is as fast."""


def _latency(arrivals: array[float], mean: float) -> Latency:
    gaps = sorted(map(sub, arrivals[1:], arrivals))
    return Latency(mean=mean, p50=_percentile(gaps, 0.50), p99=_percentile(gaps, 0.99))


def _percentile(ordered: list[float], share: float) -> float:
    """Interpolate linearly between the two nearest values, as numpy.percentile does (and so genai-perf)."""
    position = (len(ordered) - 1) * share
    lower = int(position)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (position - lower)
