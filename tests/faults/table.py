"""What was seen of each fault, as the page of the docs shows it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from faults.all_rows import ALL_ROWS

if TYPE_CHECKING:
    from faults.reading import Outcome
    from faults.rows import Row

__all__ = ["PAGE", "Table", "rows_of_page"]

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "faults.md"
_BEGIN = "<!-- begin: written by the tests -->\n"
_END = "<!-- end -->\n"
_HEADER = (
    "fault",
    "when",
    "error",
    "text so far",
    "retryable",
    "attempts",
    "ended by",
    "seconds",
    "usable again after",
    "seen on",
)


@dataclass
class _Seen:
    seconds: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    attempts: set[int] = field(default_factory=set)
    retryable: set[bool] = field(default_factory=set)
    on: set[str] = field(default_factory=set)


class Table:
    """What a run has seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def record(self, row: Row, outcome: Outcome, again: float | None, server: str) -> None:
        """Take what a test saw; it has compared it with the row.

        Args:
            row: the row.
            outcome: of the generation that met the fault.
            again: seconds from the end of the fault to a whole answer; None where it does not end.
            server: what answered.
        """
        seen = self._seen.setdefault(row.key, _Seen())
        seen.seconds.append(outcome.seconds)
        seen.attempts.add(outcome.attempts)
        seen.retryable.add(outcome.retryable)
        seen.on.add(server)
        if again is not None:
            seen.again.append(again)

    def write(self) -> None:
        """Write the page.

        Raises:
            AssertionError: not every row was seen.
        """
        lacking = [row.key for row in ALL_ROWS if row.key not in self._seen]
        assert not lacking, f"run all tests of the folder, with the real Triton; not seen: {lacking}"
        lines = [_line(_HEADER), _line(["---"] * len(_HEADER))]
        lines += [self._row(row) for row in ALL_ROWS]
        text = PAGE.read_text(encoding="utf-8")
        head, _, rest = text.partition(_BEGIN)
        _, _, tail = rest.partition(_END)
        note = f"\nSeen in one run: {_machine()}.\n"
        PAGE.write_text(head + _BEGIN + "\n".join(lines) + "\n" + note + _END + tail, encoding="utf-8")

    def _row(self, row: Row) -> str:
        seen = self._seen[row.key]
        return _line(
            [
                *stable_cells(row),
                " or ".join("yes" if item else "no" for item in sorted(seen.retryable)) if row.fails else "",
                _range(seen.attempts, "d"),
                row.ended_by,
                _range(seen.seconds),
                _range(seen.again) + " s" if seen.again else "(it does not pass)",
                ", ".join(sorted(seen.on)),
            ]
        )


def stable_cells(row: Row) -> list[str]:
    """Return the cells that are the same in every run."""
    error = " or ".join(item if item == "none" else f"`{item}`" for item in row.error)
    text = " or ".join(f"“{item}”" for item in row.texts if item) or "none"
    return [row.fault, row.where, error, text]


def rows_of_page() -> list[list[str]]:
    """Return the stable cells of the committed page."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    body, _, _ = rest.partition(_END)
    rows = [line for line in body.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")][:4] for line in rows]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _range(values: set[int] | list[float], form: str = ".2f") -> str:
    low, high = (format(pick(values), form) for pick in (min, max))
    return low if low == high else f"{low} - {high}"


def _machine() -> str:
    return (
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, Python {platform.python_version()},"
        f" grpcio {grpc.__version__}"
    )
