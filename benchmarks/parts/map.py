"""Many prompts, 64 at a time: `map` and `amap` beside a pool of tasks on bare grpc.aio."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.blast_server import MODEL
from benchmarks.measure_map import WAYS, Job
from benchmarks.runner import (
    Goal,
    Outcome,
    Settings,
    Table,
    alternated,
    in_process,
    median,
    ratio,
    server_process,
)

CONCURRENCY = 64
LENGTHS = ((16, 4000), (128, 1000))
"""Tokens of each answer, and how many answers."""
BARE, OURS = "bare grpc.aio, pool", ("nupic_client map", "nupic_client amap")
NOTE = (
    "Each answer is joined to its text. The pool has no deadlines, no retries, no order, and does not check that an answer"
    " is complete."
)


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    with server_process("benchmarks.blast_server") as url:
        for tokens, number in LENGTHS:
            count = settings.scaled(number, 2 * CONCURRENCY)
            job = Job(url, MODEL, CONCURRENCY, count, tokens)

            def measured(way: str, job: Job = job) -> dict[str, Any]:
                return in_process("benchmarks.measure_map", {"way": way, **asdict(job)})

            found = alternated([*WAYS], settings.repeats, measured)
            outcome.tables.append(table(job, found))
            outcome.data[str(tokens)] = found
            if tokens == LENGTHS[-1][0]:
                outcome.goals += [
                    Goal(
                        f"{way}, {CONCURRENCY} answers of {tokens} tokens at a time: generations/s of the bare pool's",
                        ratio(found, way, BARE, rate),
                        least=0.9,
                    )
                    for way in OURS
                ]
    return outcome


def rate(run: dict[str, Any]) -> float:
    return 1 / float(run["wall"])


def cpu(run: dict[str, Any]) -> float:
    return float(run["cpu"])


def table(job: Job, found: dict[str, list[dict[str, Any]]]) -> Table:
    made = Table(
        f"{job.count:,} prompts, {job.concurrency} at a time, {job.tokens} tokens each",
        ("way", "generations/s", "of bare", "CPU µs/generation", "of bare", "memory MiB"),
        note=NOTE,
    )
    for way, runs in found.items():
        made.rows.append(
            (
                way,
                job.count * median([rate(run) for run in runs]),
                ratio(found, way, BARE, rate),
                median([cpu(run) for run in runs]) / job.count * 1e6,
                ratio(found, way, BARE, cpu),
                median([run["memory"] for run in runs]),
            )
        )
    return made
