"""Mixed traffic with faults at random: `python -m tests.soak --seconds 300 --write`."""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys

from .report import PAGE, page
from .traffic import Soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of traffic, after a warm-up of a fifth of it"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of all choices")
    parser.add_argument("--write", action="store_true", help="write the figures to the documentation")
    arguments = parser.parse_args()
    command = f"python -m tests.soak --seconds {arguments.seconds:g} --seed {arguments.seed}"
    print(command, flush=True)
    report = Soak(arguments.seconds, arguments.seed).run()
    text = page(report, command)
    print(text)
    for problem in (*report.hangs, *report.violations):
        print(problem)
    if report.hangs:
        faulthandler.dump_traceback(all_threads=True)
    bad = report.problems()
    print("\n".join(bad) or "All is well.")
    if arguments.write and not bad:
        PAGE.write_text(text, encoding="utf-8")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
