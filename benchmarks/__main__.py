"""Measure everything: ``python -m benchmarks``. See README.md for what, how, and why it can be trusted."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.report import write
from benchmarks.runner import Settings

PARTS = ("start", "decode", "blast", "triton", "many", "infer", "leak")
RESULTS = Path(__file__).parents[1] / "docs" / "explanation" / "speed"
"""Where the tables, the plots and the figures as JSON are written; the page speed.md includes them."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"only these of {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each way (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many tokens (default 1)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for tables, plots and JSON")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
    settings = Settings(arguments.repeats, arguments.scale)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.parts or PARTS:
        began = time.monotonic()
        print(f"{name}:", file=sys.stderr, flush=True)
        outcome = importlib.import_module(f"benchmarks.parts.{name}").run(settings)
        record = {"machine": describe(), "settings": vars(settings), "seconds": time.monotonic() - began}
        text = json.dumps(record | outcome.as_json(), indent=1)
        (arguments.out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        for table in outcome.tables:
            print(table.markdown())
        for goal in outcome.goals:
            print(f"{'met   ' if goal.met else 'MISSED'} {goal.text}: {goal.value:.3g}")
    write(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
