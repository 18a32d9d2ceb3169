"""The progress of a batch on stderr, and its figures."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from nupic_client._terminal import is_terminal
from nupic_client.cli.terminal import say

if TYPE_CHECKING:
    from nupic_client.batch import BatchProgress, BatchReport

__all__ = ["BatchDisplay", "advice", "progress_text", "summary"]

_EVERY = 30.0
"""Seconds between two lines where stderr is no terminal."""


class BatchDisplay:
    """Show the progress of a batch on stderr: redrawn on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._width = 0
        self._next = time.monotonic() + _EVERY

    def __call__(self, progress: BatchProgress) -> None:
        """Show how far the batch is."""
        self.show(progress_text(progress))

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        if not is_terminal(sys.stderr):
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + _EVERY
                say(text)
            return
        text = text[: _columns() - 1]
        with contextlib.suppress(OSError, ValueError):  # a terminal that is gone is no reason to stop
            sys.stderr.write(f"\r{text.ljust(self._width)}")
            sys.stderr.flush()
        self._width = len(text)

    def end(self) -> None:
        """End the redrawn line, if there is one."""
        if self._width:
            say("")
        self._width = 0


def _columns() -> int:
    """Return the width of the terminal; 80 where it does not tell."""
    try:
        return max(os.get_terminal_size(sys.stderr.fileno()).columns or 80, 20)
    except OSError:
        return 80


def progress_text(progress: BatchProgress) -> str:
    """Return the progress as one line."""
    parts = [f"{progress.done:,} done"]
    if progress.fraction is not None:
        parts.insert(0, f"{100 * progress.fraction:.0f} %")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.skipped:
        parts.append(f"{progress.skipped:,} skipped")
    if progress.lines_per_second is not None:
        parts.append(f"{progress.lines_per_second:,.1f} lines/s")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if progress.time_to_first_token is not None:
        parts.append(f"first token {progress.time_to_first_token:.2f} s")
    if progress.remaining is not None:
        parts.append(f"{_duration(progress.remaining)} left")
    return " · ".join(parts)


def summary(report: BatchReport) -> str:
    """Return the figures of a batch as one line."""
    parts = [f"{report.done:,} done", f"{report.failed:,} failed"]
    if report.skipped:
        parts.append(f"{report.skipped:,} done before")
    parts.append(_duration(report.seconds))
    if report.seconds > 0:
        parts.append(f"{(report.done + report.failed) / report.seconds:,.1f} lines/s")
        if report.output_tokens:
            parts.append(f"{report.output_tokens / report.seconds:,.0f} tokens/s")
    return " · ".join(parts)


def advice(target: str) -> str:
    """Return how to go on with a batch that is not complete.

    Args:
        target: its output.
    """
    if target == "-":
        return "stdout cannot be resumed: write to a file to go on with a batch"
    return f"{target} has what was answered: the same command with --resume goes on"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
