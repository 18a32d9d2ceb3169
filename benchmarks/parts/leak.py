"""Whether memory grows: 100,000 short generations, and as many requests, through one client."""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.blast_server import MODEL
from benchmarks.runner import Goal, Outcome, Settings, Table, in_process, server_process

GENERATIONS = 100_000
TOKENS = 5
MARKS = (0.01, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""When to look, as shares of all generations."""
SETTLED = 0.2
"""What grows before is caches that fill and the allocator that finds its size; a leak goes on growing."""
MOST_MIB = 2.0
"""80,000 generations that leave 27 bytes each are 2 MiB: less than the smallest Python object that could be left over."""
MOST_OBJECTS = 0.1
"""Objects left per generation. Not none: what looks after the deadlines forgets a stream that ended some seconds later."""
WAYS = ("sync", "async", "sync requests", "async requests")


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    total = settings.scaled(GENERATIONS, 500)
    marks = [max(int(total * share), 1) for share in MARKS]
    table = Table(
        f"{total:,} generations of {TOKENS} tokens, and as many requests",
        ("way", "generations", "resident MiB", "Python objects", "threads", "generations/s"),
        note="One process and one client for all; async: eight tasks. Requests are for one embedding each, half of them by"
        " infer and half by map. Objects are those that Python's collector tracks.",
    )
    with server_process("benchmarks.blast_server") as url:
        for way in WAYS:
            print(f"  {way}", file=sys.stderr, flush=True)
            order = {"way": way, "url": url, "model": MODEL, "tokens": TOKENS, "marks": marks}
            samples = in_process("benchmarks.measure_leak", order, timeout=1800)["samples"]
            outcome.data[way] = samples
            for sample in samples:
                speed = sample["done"] / sample["seconds"]
                shown = (sample["done"], sample["resident"], sample["objects"], sample["threads"], speed)
                table.rows.append((way, *shown))
            outcome.goals += goals(way, samples, marks[MARKS.index(SETTLED)])
    outcome.tables.append(table)
    return outcome


def goals(way: str, samples: list[dict[str, Any]], settled: int) -> list[Goal]:
    early = next(sample for sample in samples if sample["done"] == settled)
    last = samples[-1]
    span = f"from {settled:,} to {last['done']:,} generations, {way}"
    left = (last["objects"] - early["objects"]) / (last["done"] - settled)
    return [
        Goal(f"memory grows {span} (MiB)", last["resident"] - early["resident"], most=MOST_MIB),
        Goal(f"Python objects left per generation {span}", left, most=MOST_OBJECTS),
    ]
