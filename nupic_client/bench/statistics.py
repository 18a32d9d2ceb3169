"""The distribution of one metric: exact figures, from a bounded number of values."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PERCENTILES", "STATISTICS", "Samples", "Statistics"]

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
"""Those of genai-perf."""
STATISTICS = ("avg", *(f"p{percentile}" for percentile in PERCENTILES), "min", "max", "std")
"""The names of the figures, in genai-perf's order."""
MOST_VALUES = 500_000
"""So many values are kept of a metric, 8 bytes each; of more, the percentiles are those of a random part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The distribution of a metric over the requests of a benchmark. Durations are seconds.

    Percentiles are interpolated linearly between the two nearest values, and the standard deviation is that of the whole
    population, as ``numpy.percentile`` and ``numpy.std`` have it, and so genai-perf.

    Args:
        count: number of values.
        avg: the arithmetic mean.
        p1: a hundredth of the values is lower, and so on.
        p5: see ``p1``.
        p10: see ``p1``.
        p25: see ``p1``.
        p50: the median.
        p75: see ``p1``.
        p90: see ``p1``.
        p95: see ``p1``.
        p99: see ``p1``.
        min: the lowest value.
        max: the highest value.
        std: the standard deviation.
    """

    count: int
    avg: float
    p1: float
    p5: float
    p10: float
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float
    min: float
    max: float
    std: float


class Samples:
    """Collect the values of one metric.

    Mean, deviation, lowest and highest value are of all values, however many there are. Percentiles are exact up to
    ``most`` values; of more, that many are kept, each with the same chance.

    Args:
        most: number of values that are kept.
    """

    __slots__ = ("_kept", "_mean", "_most", "_random", "_squares", "count", "highest", "lowest", "total")

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._kept = array("d")
        self._most = most
        self._random = random.Random(0)  # noqa: S311 - a sample, no secret
        self._mean = self._squares = 0.0
        self.total: float = 0.0
        self.count: int = 0
        self.lowest: float = math.inf
        self.highest: float = -math.inf

    def add(self, value: float) -> None:
        """Count a value."""
        self.count += 1
        self.total += value
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        distance = value - self._mean  # Welford's way, which loses no digits
        self._mean += distance / self.count
        self._squares += distance * (value - self._mean)
        if len(self._kept) < self._most:
            self._kept.append(value)
        elif (place := self._random.randrange(self.count)) < self._most:
            self._kept[place] = value

    @property
    def values(self) -> Sequence[float]:
        """The values that are kept."""
        return self._kept

    def statistics(self) -> Statistics | None:
        """Return the figures; None without a value."""
        if not self.count:
            return None
        ordered = sorted(self._kept)
        percentiles = {f"p{share}": _percentile(ordered, share) for share in PERCENTILES}
        return Statistics(
            count=self.count,
            avg=self._mean,
            min=self.lowest,
            max=self.highest,
            std=math.sqrt(self._squares / self.count),
            **percentiles,
        )


def _percentile(ordered: Sequence[float], percentile: float) -> float:
    position = (len(ordered) - 1) * percentile / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
