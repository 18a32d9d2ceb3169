"""The figures of a benchmark: while it runs, and at its end."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nupic_client.bench.metrics import METRICS
from nupic_client.bench.statistics import STATISTICS, Statistics

__all__ = ["BenchProgress", "BenchReport", "ErrorCount"]

_UNITS = {
    "request_throughput": "requests/sec",
    "request_goodput": "requests/sec",
    "output_token_throughput": "tokens/sec",
    "request_count": "count",
    "error_count": "count",
    "benchmark_duration": "sec",
}
_CSV_STATISTICS = ("avg", "min", "max", "p99", "p95", "p90", "p75", "p50", "p25", "p10", "p5", "p1", "std")
"""The columns: those of genai-perf, and after them those that only its JSON has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchProgress:
    """How far a benchmark is.

    Args:
        phase: whether requests count already.
        seconds: since this phase began.
        done: requests that were answered.
        failed: requests that were not.
        running: requests on their way.
        fraction: the part of the work that is done, from 0 to 1.
        requests_per_second: over the last seconds; None at the beginning.
        tokens_per_second: the same for tokens of answers.
        time_to_first_token: the median over the last answers, in seconds; None without any.
    """

    phase: Literal["warmup", "measuring"]
    seconds: float
    done: int
    failed: int
    running: int
    fraction: float
    requests_per_second: float | None
    tokens_per_second: float | None
    time_to_first_token: float | None


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How many requests failed in the same way.

    Args:
        kind: the class of the error, see `nupic_client.errors`.
        count: number of requests.
        message: of the first one.
    """

    kind: str
    count: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """The figures of a benchmark, as genai-perf defines them. Durations are seconds; `to_dict` has milliseconds.

    Args:
        model: the server's name of the model.
        url: the server.
        load: what was kept, ``"concurrency"`` or ``"request_rate"``.
        level: that number of requests at the same time, or of requests a second.
        streaming: whether answers were read as they came.
        metrics: the distribution of each metric of a request that there are values of, by genai-perf's names.
        request_count: requests that were answered.
        error_count: requests that failed.
        cut_off: requests that were on their way when the benchmark was stopped; they are in no figure.
        errors: the failures by kind, the most frequent first.
        benchmark_duration: from the start of the first request that was answered to the end of the last one.
        request_throughput: answered requests a second.
        request_goodput: of these, those that kept to all of ``goodput``; None where it was not asked for.
        output_token_throughput: tokens of all answers a second; None where nothing counts them.
        output_tokens_from: who counted them, ``"server"``, ``"chunks"``, ``"mixed"``, or "" for nobody.
        input_tokens_from: who counted those of the prompts, ``"server"``, ``"words"``, ``"mixed"``, or "".
        send_delay: how much later than planned requests of a rate were sent, which is part of their durations.
        loop_delay: how late this process woke up while it measured: what it adds itself to any duration.
        cpu: the part of one processor that this process used.
        ended: whether the benchmark ran to its end or was stopped.
        input_config: how it ran, by genai-perf's names.
        samples: the values of each metric, for plots.
    """

    model: str
    url: str
    load: Literal["concurrency", "request_rate"]
    level: float
    streaming: bool
    metrics: Mapping[str, Statistics]
    request_count: int
    error_count: int
    cut_off: int
    errors: tuple[ErrorCount, ...]
    benchmark_duration: float
    request_throughput: float
    request_goodput: float | None
    output_token_throughput: float | None
    output_tokens_from: str
    input_tokens_from: str
    send_delay: Statistics | None
    loop_delay: Statistics | None
    cpu: float
    ended: Literal["complete", "stopped"]
    input_config: Mapping[str, Any] = field(repr=False)
    samples: Mapping[str, Sequence[float]] = field(repr=False, compare=False, default_factory=dict)

    @property
    def time_to_first_token(self) -> Statistics | None:
        """From the request to the first text; None where answers were not streamed."""
        return self.metrics.get("time_to_first_token")

    @property
    def time_to_second_token(self) -> Statistics | None:
        """From the first chunk of text to the second; None where no answer had two."""
        return self.metrics.get("time_to_second_token")

    @property
    def inter_token_latency(self) -> Statistics | None:
        """Of each request (latency - time to first token) / (output tokens - 1); None where answers were not streamed."""
        return self.metrics.get("inter_token_latency")

    @property
    def request_latency(self) -> Statistics | None:
        """From the request to the last text of its answer; None without an answer."""
        return self.metrics.get("request_latency")

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the reader of the figures, about what counts as a token and what the measuring itself adds."""
        return tuple(_notes(self))

    @property
    def _totals(self) -> dict[str, float]:
        totals = {
            "request_throughput": self.request_throughput,
            "request_goodput": self.request_goodput,
            "output_token_throughput": self.output_token_throughput,
            "request_count": self.request_count,
            "error_count": self.error_count,
            "benchmark_duration": self.benchmark_duration,
        }
        return {name: float(value) for name, value in totals.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return the figures in the shape of genai-perf's ``profile_export_genai_perf.json``, durations in milliseconds.

        Each metric is ``{"unit": …, "avg": …}``, those of requests with percentiles. Not genai-perf's are ``error_count``,
        ``benchmark_duration``, ``errors``, ``notes`` and ``measuring``.
        """
        found: dict[str, Any] = {
            name: {"unit": _UNITS[name], "avg": value} for name, value in self._totals.items()
        }
        for metric in METRICS:
            if metric.name in self.metrics:
                found[metric.name] = {"unit": metric.unit} | _scaled(self.metrics[metric.name], metric.factor)
        delays = {"send_delay": self.send_delay, "loop_delay": self.loop_delay}
        return {
            **found,
            "errors": [{"kind": it.kind, "count": it.count, "message": it.message} for it in self.errors],
            "notes": list(self.notes),
            "measuring": {
                **{
                    name: {"unit": "ms"} | _scaled(it, 1000.0)
                    for name, it in delays.items()
                    if it is not None
                },
                "cpu": self.cpu,
                "output_tokens_from": self.output_tokens_from,
                "input_tokens_from": self.input_tokens_from,
                "ended": self.ended,
                "cut_off": self.cut_off,
            },
            "input_config": dict(self.input_config),
        }

    def to_csv(self) -> str:
        """Return the figures as genai-perf's CSV: a table of the requests' metrics, and below one of the totals."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("Metric", *_CSV_STATISTICS))
        for metric in METRICS:
            if metric.name in self.metrics:
                figures = _scaled(self.metrics[metric.name], metric.factor)
                writer.writerow(
                    (_titled(metric.name, metric.unit), *(f"{figures[it]:.2f}" for it in _CSV_STATISTICS))
                )
        writer.writerow(())
        writer.writerow(("Metric", "Value"))
        for name, value in self._totals.items():
            writer.writerow((_titled(name, _UNITS[name]), f"{value:.2f}"))
        return text.getvalue()


def _titled(name: str, unit: str) -> str:
    words = name.replace("_", " ").title()
    return words if unit == "tokens" else f"{words} ({unit})"


def _scaled(statistics: Statistics, factor: float) -> dict[str, float]:
    return {name: getattr(statistics, name) * factor for name in STATISTICS}


_SLOW = 0.01
"""Seconds that this process may wake up too late before the figures need a warning."""


def _notes(report: BenchReport) -> list[str]:
    notes = []
    if report.output_tokens_from == "chunks":
        notes.append("the server does not count the tokens of answers: each chunk of text is one")
    elif report.output_tokens_from == "mixed":
        notes.append(
            "the server does not count the tokens of all answers: elsewhere each chunk of text is one"
        )
    elif not report.output_tokens_from and report.request_count:
        notes.append("the server does not count the tokens of answers, so nothing is known of them")
    if report.input_tokens_from in {"words", "mixed"}:
        notes.append("the server does not count the tokens of prompts: each word is one")
    if report.loop_delay is not None and report.loop_delay.p99 > _SLOW:
        delay = f"{report.loop_delay.p99 * 1000:.0f} ms (p99)"
        notes.append(
            f"this process woke up {delay} late: durations of a few of these say little; measure with less load"
        )
    if report.cut_off:
        were = (
            "1 request was on its way"
            if report.cut_off == 1
            else f"{report.cut_off} requests were on their way"
        )
        are = "it is" if report.cut_off == 1 else "they are"
        notes.append(f"{were} when it was stopped: {are} in no figure")
    return notes
