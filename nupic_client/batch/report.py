"""The figures of a batch: while it runs, and at its end."""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nupic_client.batch.row import Embedding
from nupic_client.results import Generation

__all__ = ["BatchProgress", "BatchReport", "Ending", "Tally"]

Ending: TypeAlias = Literal["complete", "limit", "failures", "stopped"]
"""Why a batch ended: all lines were read, ``limit`` or ``max_failures`` was reached, or it was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a batch is.

    Args:
        seconds: since it began.
        done: lines that were answered.
        failed: lines that were not.
        skipped: lines that an earlier run has done.
        running: requests on their way.
        lines_per_second: lines that ended, over the last seconds; None at the beginning.
        tokens_per_second: tokens that were generated, over the last seconds; None where the server does not count them.
        time_to_first_token: the median over the last answers, in seconds; None without any.
        fraction: the part of the work that is done, from 0 to 1; None where the size of the input is not known.
        remaining: seconds until the end, as it goes now; None where that cannot be told.
    """

    seconds: float
    """Since it began."""
    done: int
    """Lines that were answered."""
    failed: int
    """Lines that were not."""
    skipped: int
    """Lines that an earlier run has done."""
    running: int
    """Requests on their way."""
    lines_per_second: float | None
    """Lines that ended, over the last seconds; None at the beginning."""
    tokens_per_second: float | None
    """Tokens that were generated, over the last seconds; None where the server does not count them."""
    time_to_first_token: float | None
    """The median over the last answers, in seconds; None without any."""
    fraction: float | None
    """The part of the work that is done, from 0 to 1; None where the size of the input is not known."""
    remaining: float | None
    """Seconds until the end, as it goes now; None where that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """The figures of a batch that has ended.

    Args:
        done: lines that were answered.
        failed: lines that were not; their errors are in the output, or in the file of errors.
        skipped: lines that an earlier run has done.
        seconds: how long it took.
        input_tokens: tokens of all prompts, as far as the server counts them.
        output_tokens: tokens of all answers, as far as the server counts them.
        ended: why it ended.
    """

    done: int
    """Lines that were answered."""
    failed: int
    """Lines that were not; their errors are in the output, or in the file of errors."""
    skipped: int
    """Lines that an earlier run has done."""
    seconds: float
    """How long it took."""
    input_tokens: int
    """Tokens of all prompts, as far as the server counts them."""
    output_tokens: int
    """Tokens of all answers, as far as the server counts them."""
    ended: Ending
    """Why it ended."""

    @property
    def complete(self) -> bool:
        """Whether each line of the input has its answer, and nothing is left for another run."""
        return self.ended == "complete" and not self.failed

    def __repr__(self) -> str:
        names = ("done", "failed", "skipped", "input_tokens", "output_tokens", "ended")
        counts = ", ".join(f"{name}={getattr(self, name)!r}" for name in names if hasattr(self, name))
        seconds = f", seconds={self.seconds:.1f}" if hasattr(self, "seconds") else ""
        return f"BatchReport({counts}{seconds})"


class Tally:
    """What is counted while a batch runs."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.done: int = 0
        self.input_tokens: int = 0
        self.output_tokens: int = 0
        self.failed = self.skipped = self.running = 0
        self._counts_tokens = False
        self._first_tokens: deque[float] = deque(maxlen=500)
        self._past: deque[tuple[float, int, int, float]] = deque(maxlen=20)
        """The last snapshots: time, lines, tokens and fraction."""

    def answered(self, generation: Generation | Embedding) -> None:
        """Count an answer."""
        self.done += 1
        if isinstance(generation, Embedding):  # the protocol counts no tokens of it
            return
        usage = generation.usage
        self.input_tokens += usage.input_tokens or 0
        if usage.output_tokens is not None:
            self.output_tokens += usage.output_tokens
            self._counts_tokens = True
        if generation.timing.time_to_first_token is not None:
            self._first_tokens.append(generation.timing.time_to_first_token)

    @property
    def counts(self) -> dict[str, int]:
        """The counts of a state file."""
        return {"done": self.done, "failed": self.failed, "skipped": self.skipped}

    def snapshot(self, fraction: float | None) -> BatchProgress:
        """Return how far the batch is now."""
        now = time.monotonic()
        lines = self.done + self.failed
        then, old_lines, old_tokens, old_fraction = self._past[0] if self._past else (now, 0, 0, 0.0)
        self._past.append((now, lines, self.output_tokens, fraction or 0.0))
        seconds = now - then
        progress = (fraction or 0.0) - old_fraction
        return BatchProgress(
            seconds=now - self._started,
            done=self.done,
            failed=self.failed,
            skipped=self.skipped,
            running=self.running,
            lines_per_second=(lines - old_lines) / seconds if seconds else None,
            tokens_per_second=(self.output_tokens - old_tokens) / seconds
            if seconds and self._counts_tokens
            else None,
            time_to_first_token=statistics.median(self._first_tokens) if self._first_tokens else None,
            fraction=fraction,
            remaining=(1.0 - fraction) * seconds / progress
            if fraction is not None and progress > 0
            else None,
        )

    def report(self, ended: Ending) -> BatchReport:
        """Return the figures of the end."""
        return BatchReport(
            done=self.done,
            failed=self.failed,
            skipped=self.skipped,
            seconds=time.monotonic() - self._started,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            ended=ended,
        )
