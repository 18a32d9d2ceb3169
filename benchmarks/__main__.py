"""Measure everything: ``python -m benchmarks``. See README.md for what, how, and why it can be trusted."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import plots, report
from benchmarks.machine import describe
from benchmarks.runner import Settings

PARTS = ("start", "decode", "blast", "triton", "many", "map", "infer", "shm", "leak")
RESULTS = Path(__file__).parent / "results"
"""Where the figures are written as JSON, with their tables and plots; git ignores it."""
DOCS = Path(__file__).parents[1] / "docs" / "explanation" / "speed"
"""Where ``--update-docs`` writes tables and plots; the page speed.md includes them."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"only these of {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each way (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many tokens (default 1)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for JSON, tables and plots")
    parser.add_argument("--update-docs", action="store_true", help="write tables and plots into the docs too")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
    names = options.parts or PARTS
    if options.update_docs and not plots.can_draw(names):
        parser.error("--update-docs needs matplotlib: pip install 'nupic-client[bench]'")
    settings = Settings(options.repeats, options.scale)
    options.out.mkdir(parents=True, exist_ok=True)
    records = {}
    for name in names:
        began = time.monotonic()
        print(f"{name}:", file=sys.stderr, flush=True)
        outcome = importlib.import_module(f"benchmarks.parts.{name}").run(settings)
        record = {"machine": describe(), "settings": vars(settings), "seconds": time.monotonic() - began}
        text = json.dumps(record | outcome.as_json(), indent=1)
        (options.out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        records[name] = json.loads(text)
        for table in outcome.tables:
            print(table.markdown())
        for goal in outcome.goals:
            print(f"{'met   ' if goal.met else 'MISSED'} {goal.text}: {goal.value:.3g}")
    report.write(records, options.out)
    if options.update_docs:
        report.write(records, DOCS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
