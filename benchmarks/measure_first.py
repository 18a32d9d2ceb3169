"""First tokens on an open connection, in rounds of answers: ``python -m benchmarks.measure_first '{"way": …}'``."""

from __future__ import annotations

import inspect
import json
import sys
import time
from typing import Any

from benchmarks.ways import WAYS, Job, Sink

WARM = 20
"""Answers before those that count."""


def measure_first(way: str, job: Job, rounds: int) -> dict[str, Any]:
    """Return the seconds from each request to its first token, and the CPU seconds for all of them.

    Args:
        way: how to read.
        job: what to read: so many answers at the same time in each round.
        rounds: how many rounds count.
    """
    warm = max(WARM // job.streams, 2)
    waves = [[Sink(stamped=False) for _ in range(job.streams)] for _ in range(warm + rounds)]
    spent = 0.0

    async def rest(begun: Any, read: Any) -> None:
        nonlocal spent
        await begun
        for sinks in waves[1:warm]:
            await read(sinks)
        spent = time.process_time()
        for sinks in waves[warm:]:
            await read(sinks)
        spent = time.process_time() - spent

    def run(read: Any) -> Any:
        nonlocal spent
        outcome = read(waves[0])
        if inspect.iscoroutine(outcome):
            return rest(outcome, read)
        for sinks in waves[1:warm]:
            read(sinks)
        spent = time.process_time()
        for sinks in waves[warm:]:
            read(sinks)
        spent = time.process_time() - spent
        return None

    WAYS[way](job, run)
    return {"first": [sink.first - sink.asked for sinks in waves[warm:] for sink in sinks], "cpu": spent}


def main() -> None:
    order = json.loads(sys.argv[1])
    way, rounds = order.pop("way"), order.pop("rounds")
    print(json.dumps(measure_first(way, Job(**order), rounds)))


if __name__ == "__main__":
    main()
