"""First tokens on an open connection, one answer after the other: ``python -m benchmarks.measure_first '{"way": …}'``."""

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
    """Return the seconds from each request to its first token, and the CPU seconds for all of them."""
    sinks = [Sink(stamped=False) for _ in range(WARM + rounds)]
    spent = 0.0

    async def rest(begun: Any, read: Any) -> None:
        nonlocal spent
        await begun
        for sink in sinks[1:WARM]:
            await read([sink])
        spent = time.process_time()
        for sink in sinks[WARM:]:
            await read([sink])
        spent = time.process_time() - spent

    def run(read: Any) -> Any:
        nonlocal spent
        outcome = read(sinks[:1])
        if inspect.iscoroutine(outcome):
            return rest(outcome, read)
        for sink in sinks[1:WARM]:
            read([sink])
        spent = time.process_time()
        for sink in sinks[WARM:]:
            read([sink])
        spent = time.process_time() - spent
        return None

    WAYS[way](job, run)
    return {"first": [sink.first - sink.asked for sink in sinks[WARM:]], "cpu": spent}


def main() -> None:
    order = json.loads(sys.argv[1])
    way, rounds = order.pop("way"), order.pop("rounds")
    print(json.dumps(measure_first(way, Job(**order), rounds)))


if __name__ == "__main__":
    main()
