"""The progress of a benchmark on stderr, and its figures as tables and files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nupic_client.cli.batch_report import BatchDisplay
from nupic_client.cli.table import table
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from nupic_client.bench import BenchProgress, BenchReport

__all__ = [
    "BenchDisplay",
    "bench_progress_text",
    "check_export",
    "export",
    "export_path",
    "figures",
    "sweep_table",
]

_STATISTICS = ("avg", "min", "max", "p99", "p95", "p90", "p75", "p50")
_DISPENSABLE = ("p75", "p90", "p95", "min", "max", "p99")
"""Those that a narrow terminal does without, the first one first."""
_ROWS = (
    *("time_to_first_token", "time_to_second_token", "request_latency", "inter_token_latency"),
    *("output_token_throughput_per_user", "output_sequence_length", "input_sequence_length"),
    *("output_token_throughput", "request_throughput", "request_goodput", "request_count", "error_count"),
    *("send_delay", "loop_delay"),
)
"""The rows, in their order: genai-perf's, and after them what this client adds to the figures itself."""
_TITLES = {"send_delay": "Send delay of this client", "loop_delay": "Wake-up delay of this client"}


class BenchDisplay:
    """Show the progress of a benchmark on stderr.

    Args:
        load: describes the load, as ``concurrency 8``.
    """

    def __init__(self, load: str) -> None:
        self._load = load
        self._line = BatchDisplay()

    def __call__(self, progress: BenchProgress) -> None:
        """Show how far the benchmark is."""
        self._line.show(f"{self._load} · {bench_progress_text(progress)}")

    def end(self) -> None:
        """End the redrawn line, if there is one."""
        self._line.end()


def bench_progress_text(progress: BenchProgress) -> str:
    """Return the progress as one line."""
    parts = [f"{100 * progress.fraction:.0f} %", f"{progress.done:,} done", f"{progress.running:,} running"]
    if progress.phase == "warmup":
        parts.insert(0, "warm-up")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.requests_per_second is not None:
        parts.append(f"{progress.requests_per_second:,.1f} requests/s")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if progress.time_to_first_token is not None:
        parts.append(f"first token {progress.time_to_first_token * 1000:,.0f} ms")
    return " · ".join(parts)


def figures(report: BenchReport, width: int | None = None) -> str:
    """Return the figures of one benchmark as a table, with the errors and notes below it.

    Args:
        report: has the figures.
        width: columns of the terminal, if it is one: statistics without a place are left out.
    """
    shown = [*_STATISTICS]
    lines = [_table(report, shown)]
    for statistic in _DISPENSABLE:
        if width is None or max(map(len, lines[0].splitlines()[1:])) <= width:
            break
        shown.remove(statistic)
        lines = [_table(report, shown)]
    if len(shown) < len(_STATISTICS):
        left_out = ", ".join(statistic for statistic in _STATISTICS if statistic not in shown)
        lines.append(f"not shown on so narrow a terminal: {left_out}; --json has them")
    lines += [f"{error.count:,} × {error.kind}: {error.message}" for error in report.errors]
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)


def _table(report: BenchReport, statistics: Sequence[str]) -> str:
    exported = report.to_dict()
    exported |= exported["measuring"]
    rows = [
        (
            _title(name, exported[name]["unit"]),
            *(_figure(exported[name], statistic) for statistic in statistics),
        )
        for name in _ROWS
        if name in exported
    ]
    return table(("statistic", *statistics), rows).rstrip("\n")


def sweep_table(reports: Sequence[BenchReport]) -> str:
    """Return one line for each of several loads."""
    header = (
        *(
            "load",
            "requests/s",
            "tokens/s",
            "first token p50",
            "p99",
            "inter token p50",
            "p99",
            "latency p50",
            "p99",
        ),
        *("requests", "errors"),
    )
    return table(header, [tuple(_sweep_row(report)) for report in reports]).rstrip("\n")


def _sweep_row(report: BenchReport) -> Iterator[str]:
    yield f"{report.level:g}"
    yield _number(report.request_throughput)
    yield _number(report.output_token_throughput)
    for found in (report.time_to_first_token, report.inter_token_latency, report.request_latency):
        yield from ("", "") if found is None else (_number(found.p50 * 1000), _number(found.p99 * 1000))
    yield f"{report.request_count:,}"
    yield f"{report.error_count:,}"


def _title(name: str, unit: str) -> str:
    words = _TITLES.get(name) or name.replace("_", " ").capitalize()
    return words if unit == "count" else f"{words} ({unit})"


def _figure(metric: Mapping[str, Any], statistic: str) -> str:
    value = metric.get(statistic)
    return f"{value:,.0f}" if value is not None and metric["unit"] == "count" else _number(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def export_path(name: str, report_level: float, load: str, *, several: bool) -> Path:
    """Return the path of an export; of several loads each has its own, with the load in its name."""
    path = Path(name)
    return path.with_name(f"{path.stem}-{load}{report_level:g}{path.suffix}") if several else path


def check_export(name: str) -> None:
    """Check that there is a folder for the files, before anything is measured for them.

    Raises:
        ConfigurationError: there is none.
    """
    if not Path(name).name or not Path(name).parent.is_dir() or Path(name).is_dir():
        raise ConfigurationError(
            f"profile_export_file must be a file in a folder that exists, not {name!r}",
            parameter="profile_export_file",
        )


def export(report: BenchReport, path: Path) -> None:
    """Write the figures as JSON in genai-perf's shape, and beside it as CSV.

    Args:
        report: of a benchmark.
        path: of the JSON.

    Raises:
        ConfigurationError: a file cannot be written.
    """
    try:
        path.with_suffix(".json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
        path.with_suffix(".csv").write_text(report.to_csv(), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"profile_export_file must be a file that can be written, not {str(path)!r}: {error.strerror}",
            parameter="profile_export_file",
        ) from None
