"""Plots of benchmarks; they need matplotlib."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nupic_client.bench.report import BenchReport
from nupic_client.errors import ConfigurationError

__all__ = ["check_plot", "plot"]

_SUFFIXES = (".svg", ".png", ".pdf")
_DISTRIBUTIONS = (
    ("time_to_first_token", "Time to first token (ms)"),
    ("inter_token_latency", "Inter token latency (ms)"),
    ("request_latency", "Request latency (ms)"),
)


def check_plot(path: str | os.PathLike[str]) -> None:
    """Check that a plot can be written, before anything is measured for it.

    Args:
        path: of the picture.

    Raises:
        ConfigurationError: its name has no suffix of a picture, or matplotlib is not installed.
    """
    if Path(path).suffix not in _SUFFIXES:
        raise ConfigurationError(
            f"plot must be a file that ends in {', '.join(_SUFFIXES)}, not {os.fspath(path)!r}",
            parameter="plot",
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError(
            "plot must be left out without matplotlib: pip install 'nupic-client[bench]'", parameter="plot"
        )


def plot(reports: Sequence[BenchReport], path: str | os.PathLike[str]) -> None:
    """Draw benchmarks: how their durations are distributed, and what each user and all of them together get.

    Args:
        reports: of one load each.
        path: of the picture; its suffix says which kind it is.

    Raises:
        ConfigurationError: as for `check_plot`, or the file cannot be written.

    Example:
        .. code-block:: python

            plot([bench.run("smollm2", concurrency=level) for level in (1, 2, 4, 8)], "bench.svg")
    """
    check_plot(path)
    # Not pyplot: it keeps figures, and chooses a window system.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    axes = figure.subplots(2, 2).flat
    for axis, (metric, title) in zip(axes, _DISTRIBUTIONS, strict=False):
        _distribution(axis, reports, metric, title)
    _throughput(figure.axes[-1], reports)
    if len(reports) > 1:
        figure.axes[2].legend(title=_load_name(reports[0]), frameon=False)
    figure.suptitle(f"{reports[0].model} at {reports[0].url}" if reports else "")
    try:
        figure.savefig(path)
    except OSError as error:
        raise ConfigurationError(
            f"plot must be a file that can be written, not {os.fspath(path)!r}: {error.strerror}",
            parameter="plot",
        ) from None


def _distribution(axis: Any, reports: Sequence[BenchReport], metric: str, title: str) -> None:
    for report in reports:
        values = sorted(value * 1000 for value in report.samples.get(metric, ()))
        shares = [(place + 1) / len(values) for place in range(len(values))]
        axis.step(values, shares, where="post", label=f"{report.level:g}")
    axis.set(xlabel=title, ylabel="share of requests", ylim=(0, 1.02))
    _plain(axis)


def _throughput(axis: Any, reports: Sequence[BenchReport]) -> None:
    """Draw how much all users get over how fast it comes for each."""
    points = [
        (each.avg, report.output_token_throughput, report.level)
        for report in reports
        if (each := report.metrics.get("output_token_throughput_per_user")) and report.output_token_throughput
    ]
    axis.plot([user for user, _, _ in points], [total for _, total, _ in points], marker="o")
    for user, total, level in points:
        axis.annotate(f" {level:g}", (user, total), va="bottom", fontsize="small")
    axis.set(xlabel="tokens/s of each user", ylabel="tokens/s of all", ylim=(0, None))
    axis.set_xlim(0, 1.1 * max((user for user, _, _ in points), default=1.0))
    _plain(axis)


def _load_name(report: BenchReport) -> str:
    return "requests/s" if report.load == "request_rate" else "concurrency"


def _plain(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.3)
