"""One measurement of many streams at the same time: ``python -m benchmarks.measure_many '{"way": …}'``."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.measure import measure
from benchmarks.process import Watch
from benchmarks.ways import Job


def measure_many(way: str, job: Job) -> dict[str, Any]:
    """Return the figures of `benchmarks.measure.measure`, with memory and threads while the streams are open.

    ``growth`` is the largest resident memory less what the process had when its connection was open, in MiB;
    ``threads`` is the most that it had.
    """
    with Watch() as watch:
        figures = measure(way, job, watch.restart)
    return figures | {"growth": watch.growth, "threads": watch.threads}


def main() -> None:
    order = json.loads(sys.argv[1])
    print(json.dumps(measure_many(order.pop("way"), Job(**order))))


if __name__ == "__main__":
    main()
