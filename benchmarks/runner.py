"""What every part needs: servers in processes of their own, alternated measurements, and what a part returns."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.ways import Job


@dataclass
class Table:
    """Figures of one part, ready to be shown.

    Args:
        title: a heading.
        columns: their names.
        rows: one value for each column.
        note: what is measured and how, in a sentence or two.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Any]] = field(default_factory=list)
    note: str = ""

    def markdown(self) -> str:
        rule = ["---" if index == 0 else "---:" for index in range(len(self.columns))]
        table = "\n".join(line(row) for row in (self.columns, rule, *self.rows))
        return f"**{self.title}**\n\n{table}\n" + (f"\n{self.note}\n" if self.note else "")


@dataclass
class Goal:
    """A promise and what came of it: a value, mostly a ratio, and its bounds."""

    text: str
    value: float
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool:
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )


@dataclass
class Outcome:
    """What a part found."""

    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    """What the plots are drawn from, and everything else worth keeping."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"goals": [asdict(goal) | {"met": goal.met} for goal in self.goals]}


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Args:
        repeats: how often each way is measured; the tables show medians.
        scale: multiplies the numbers of tokens, requests and generations.
    """

    repeats: int = 3
    scale: float = 1.0

    def scaled(self, number: int, least: int = 1) -> int:
        return max(int(number * self.scale), least)


def line(row: Sequence[Any]) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(shown(value) for value in row) + " |"


def shown(value: Any) -> str:
    """Return a value as a table shows it: three or four digits, no more than were measured."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return (
            f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextlib.contextmanager
def server_process(module: str, *arguments: str) -> Iterator[str]:
    """Run a server module that prints its port and ends with its standard input; give its ``host:port``."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def in_process(module: str, order: dict[str, Any], timeout: float = 600.0) -> dict[str, Any]:
    """Run a module in a process of its own with an order as JSON; return the JSON that it prints."""
    command = [sys.executable, "-m", module, json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} {order} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def read_streams(way: str, job: Job, waves: int = 0) -> dict[str, Any]:
    """Measure one way of reading streams once; then, in so many waves of short answers, the time to the first token."""
    return in_process("benchmarks.measure", {"way": way, "waves": waves, **asdict(job)})


def alternated(
    names: Sequence[str], repeats: int, measure: Callable[[str], dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Measure each way ``repeats`` times, one after the other in turn, so that what the machine does besides hits all."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(repeats):
        order = [*names[turn % len(names) :], *names[: turn % len(names)]]
        for name in order:
            print(f"  {name} {turn + 1}/{repeats}", file=sys.stderr, flush=True)
            found[name].append(measure(name))
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(
    found: dict[str, list[dict[str, Any]]], one: str, other: str, value: Callable[[dict[str, Any]], float]
) -> float:
    """Return the median, over the turns, of one way's value by another's: what changed between turns cancels out."""
    pairs = zip(found[one], found[other], strict=True)
    return median([value(mine) / value(its) for mine, its in pairs])


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
