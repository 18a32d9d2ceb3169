"""Write the figures of a run as Markdown tables and plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.runner import Goal, Table, line

ORDER = ("blast", "triton", "many", "map", "start", "decode", "infer", "shm", "leak")


def write(records: dict[str, dict[str, Any]], folder: Path) -> None:
    """Write what a run measured: ``<part>.md`` and the plot of each part, and its rows of ``goals.md``.

    What other parts have in that folder stays as it is, so that a part can be measured alone.

    Args:
        records: what the JSON files of the parts have.
        folder: where tables and plots belong.
    """
    for name, record in records.items():
        tables = [Table(**table).markdown() for table in record["tables"]]
        (folder / f"{name}.md").write_text("\n".join([*tables, machine(record)]), encoding="utf-8")
    file = folder / "goals.md"
    others = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    file.write_text(goals(records, others), encoding="utf-8")
    plots.draw(records, folder)


def goals(records: dict[str, dict[str, Any]], others: list[str]) -> str:
    """Return the table of all goals: new rows for the parts that were measured, the old ones for the other parts.

    Args:
        records: what was measured.
        others: the lines of the table so far.
    """
    text = Table("Goals", ("what", "measured", "goal", "", "part")).markdown()
    for part in ORDER:
        if part in records:
            lines = [line((*goal(fields), part)) for fields in records[part]["goals"]]
        else:
            lines = [old for old in others if old.endswith(f"| {part} |")]
        text += "".join(f"{each}\n" for each in lines)
    return text


def goal(fields: dict[str, Any]) -> tuple[str, float, str, str]:
    """Return a goal as a row: what it is about, the value, its bound and whether it was met."""
    one = Goal(**{name: value for name, value in fields.items() if name != "met"})
    bound = f"at most {one.most:g}" if one.most is not None else f"at least {one.least:g}"
    return one.text, float(one.value), bound, "met" if one.met else "**missed**"


def machine(record: dict[str, Any]) -> str:
    """Return a sentence about where and when the figures were taken."""
    facts = record["machine"]
    packages = ", ".join(f"{package} {number}" for package, number in facts["packages"].items() if number)
    return (
        f"Measured on {facts['day']}: {facts['processor']}, {facts['cores']} cores, {facts['system']},"
        f" Python {facts['python']}, {packages}; repeats: {record['settings']['repeats']}.\n"
    )
