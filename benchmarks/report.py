"""Write what was measured as Markdown tables and plots, from the JSON files of the parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.plots import draw
from benchmarks.runner import Goal, Table

ORDER = ("blast", "triton", "many", "start", "decode", "infer", "leak")


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the figures of each part that was measured."""
    files = {name: folder / f"{name}.json" for name in ORDER}
    return {
        name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()
    }


def write(folder: Path) -> None:
    """Write ``goals.md``, ``machine.md``, one ``<part>.md`` for each part, and the plots."""
    parts = load(folder)
    for name, part in parts.items():
        tables = [Table(**table).markdown() for table in part["tables"]]
        (folder / f"{name}.md").write_text("\n".join(tables), encoding="utf-8")
    (folder / "goals.md").write_text(goals(parts), encoding="utf-8")
    (folder / "machine.md").write_text(machine(parts), encoding="utf-8")
    draw(parts, folder)


def goals(parts: dict[str, dict[str, Any]]) -> str:
    table = Table("Goals", ("what", "measured", "goal", ""))
    for part in parts.values():
        for fields in part["goals"]:
            goal = Goal(**{name: value for name, value in fields.items() if name != "met"})
            bound = f"at most {goal.most:g}" if goal.most is not None else f"at least {goal.least:g}"
            table.rows.append((goal.text, float(goal.value), bound, "met" if goal.met else "**missed**"))
    return table.markdown()


def machine(parts: dict[str, dict[str, Any]]) -> str:
    lines = []
    seen: dict[str, list[str]] = {}
    for name, part in parts.items():
        facts = part["machine"]
        packages = ", ".join(f"{package} {number}" for package, number in facts["packages"].items() if number)
        text = (
            f"{facts['day']}, {facts['processor']}, {facts['cores']} cores, {facts['system']},"
            f" Python {facts['python']}, {packages}; medians of {part['settings']['repeats']}"
        )
        seen.setdefault(text, []).append(name)
    for text, names in seen.items():
        lines.append(f"{text} ({', '.join(names)}).")
    return "\n".join(lines) + "\n"
