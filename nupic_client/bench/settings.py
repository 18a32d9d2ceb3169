"""The settings of a benchmark, validated."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from nupic_client.bench.metrics import GOODPUT_METRICS
from nupic_client.bench.report import BenchProgress
from nupic_client.errors import ConfigurationError

__all__ = ["BenchSettings", "Distribution"]

Distribution: TypeAlias = Literal["constant", "poisson"]
"""The pauses between requests of a rate: all the same, or random as those of many independent users."""
_COUNTS = {
    "concurrency": 1,
    "request_count": 1,
    "warmup_request_count": 0,
    "synthetic_input_tokens_mean": 1,
    "output_tokens_mean": 1,
    "random_seed": 0,
    "max_outstanding": 1,
}
_OPTIONAL = frozenset(
    {"concurrency", "request_count", "output_tokens_mean", "request_rate", "measurement_interval"}
)
DEFAULT_INTERVAL = 10.0
"""Seconds, where neither a number of requests nor an interval is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """How a benchmark runs; `nupic_client.bench.run` describes its arguments.

    Raises:
        ConfigurationError: a value is wrong, or two do not go together.
    """

    concurrency: int | None = None
    request_rate: float | None = None
    request_distribution: Distribution = "constant"
    request_count: int | None = None
    measurement_interval: float | None = None
    warmup_request_count: int = 1
    streaming: bool = True
    prompts: Iterable[Any] | None = None
    input_file: str | os.PathLike[str] | None = None
    synthetic_input_tokens_mean: int = 550
    synthetic_input_tokens_stddev: float = 0.0
    output_tokens_mean: int | None = None
    output_tokens_stddev: float = 0.0
    random_seed: int = 0
    goodput: Mapping[str, float] | None = None
    max_outstanding: int = 4096
    chat: bool = False
    system: str | None = None
    progress: Callable[[BenchProgress], object] | None = None

    def __post_init__(self) -> None:
        for name, low in _COUNTS.items():
            self._check(name, _integer, low)
        for name in ("request_rate", "measurement_interval"):
            self._check(name, _positive)
        for name in ("synthetic_input_tokens_stddev", "output_tokens_stddev"):
            self._check(name, _not_negative)
        if self.concurrency is not None and self.request_rate is not None:
            raise ConfigurationError(
                "concurrency must not be given with request_rate: choose one", parameter="concurrency"
            )
        if self.request_distribution not in {"constant", "poisson"}:
            raise ConfigurationError(
                f"request_distribution must be 'constant' or 'poisson', not {self.request_distribution!r:.80}",
                parameter="request_distribution",
            )
        if self.prompts is not None and self.input_file is not None:
            raise ConfigurationError(
                "prompts must not be given with input_file: choose one", parameter="prompts"
            )
        if self.system is not None and not isinstance(self.system, str):
            raise ConfigurationError(f"system must be a string, not {self.system!r:.80}", parameter="system")
        self._check_goodput()

    def _check(self, name: str, check: Callable[..., Any], *bounds: float) -> None:
        value = getattr(self, name)
        if value is not None or name not in _OPTIONAL:
            object.__setattr__(self, name, check(name, value, *bounds))

    def _check_goodput(self) -> None:
        for name, limit in (self.goodput or {}).items():
            if name not in GOODPUT_METRICS:
                raise ConfigurationError(
                    f"goodput must be of {', '.join(sorted(GOODPUT_METRICS))}, not {name!r:.80}",
                    parameter="goodput",
                )
            _positive("goodput", limit)

    @property
    def load(self) -> Literal["concurrency", "request_rate"]:
        """Whether a number of requests at the same time is kept, or a rate."""
        return "concurrency" if self.request_rate is None else "request_rate"

    @property
    def level(self) -> float:
        """The number of requests at the same time, or of requests a second."""
        return (self.concurrency or 1) if self.request_rate is None else self.request_rate

    @property
    def interval(self) -> float | None:
        """Seconds in which requests are sent; None where their number alone ends the run."""
        if self.measurement_interval is None and self.request_count is None:
            return DEFAULT_INTERVAL
        return self.measurement_interval


def _integer(name: str, value: Any, low: int) -> int:
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < low:
        raise ConfigurationError(f"{name} must be a whole number >= {low}, not {value!r:.80}", parameter=name)
    return number


def _positive(name: str, value: Any) -> float:
    if (number := _number(value)) is None or number <= 0:
        raise ConfigurationError(f"{name} must be a number > 0, not {value!r:.80}", parameter=name)
    return number


def _not_negative(name: str, value: Any) -> float:
    if (number := _number(value)) is None or number < 0:
        raise ConfigurationError(f"{name} must be a number >= 0, not {value!r:.80}", parameter=name)
    return number


def _number(value: Any) -> float | None:
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
