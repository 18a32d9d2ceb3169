"""What a user of the real Triton sees: CPU of the client, delivery latency, time to the first token.

The server needs far more for a token than any client (it is the bottleneck without pauses), so that tokens per second say
little here. What tells clients apart is what they take from the processor beside it, and how late they deliver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.parts.blast import cpu, rate
from benchmarks.runner import (
    Goal,
    Outcome,
    Settings,
    Table,
    alternated,
    median,
    percentile,
    ratio,
    read_streams,
    server_process,
)
from benchmarks.ways import WAYS, Job, rivals

MODEL = "llm"
WAYS_HERE = [name for name in WAYS if "uvloop" not in name]
UNPACED = ((1, 4000), (32, 250), (128, 64))
PACED = (
    (1, 20_000, 100),
    (32, 20_000, 100),
    (128, 20_000, 50),
    (1, 50_000, 40),
    (32, 50_000, 40),
    (128, 50_000, 40),
)
"""Streams, microseconds between tokens, tokens of each stream."""


def first(share: float) -> Callable[[dict[str, Any]], float]:
    return lambda figures: percentile(figures["first"], share) * 1e3


def late(share: float) -> Callable[[dict[str, Any]], float]:
    return lambda figures: percentile(figures["latencies"], share) * 1e6


UNPACED_COLUMNS = {
    "tokens/s": rate,
    "CPU µs/token": cpu,
    "first token p50 ms": first(0.5),
    "p99 ms": first(0.99),
}
PACED_COLUMNS = {
    "CPU µs/token": cpu,
    "delivery p50 µs": late(0.5),
    "p99 µs": late(0.99),
    "first token p50 ms": first(0.5),
    "p99 ms": first(0.99),
}


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    with server_process("benchmarks.triton_server") as url:
        for streams, tokens in UNPACED:
            job = Job(url, MODEL, streams, settings.scaled(tokens, 5), delay_us=0, stamp=False)
            found = alternated(WAYS_HERE, settings.repeats, lambda way, job=job: read_streams(way, job))
            add(
                outcome,
                f"{streams} stream{'s' * (streams > 1)} as fast as the server can",
                UNPACED_COLUMNS,
                found,
            )
        for streams, delay, tokens in PACED:
            job = Job(url, MODEL, streams, settings.scaled(tokens, 5), delay_us=delay)
            found = alternated(WAYS_HERE, settings.repeats, lambda way, job=job: read_streams(way, job))
            pace = f"{streams} stream{'s' * (streams > 1)}, a token every {delay // 1000} ms"
            add(outcome, pace, PACED_COLUMNS, found)
            outcome.data[f"{streams} x {delay // 1000} ms"] = {
                way: {name: [column(figures) for figures in runs] for name, column in PACED_COLUMNS.items()}
                for way, runs in found.items()
            }
            outcome.goals += goals(pace, found)
    return outcome


def add(
    outcome: Outcome,
    title: str,
    columns: dict[str, Callable[[dict[str, Any]], float]],
    found: dict[str, list[dict[str, Any]]],
) -> None:
    table = Table(f"Real Triton, {title}", ("way", *columns, "CPU of bare", "CPU of tritonclient"))
    for way, runs in found.items():
        bare, peer = rivals(way)
        table.rows.append(
            (
                way,
                *(median([column(figures) for figures in runs]) for column in columns.values()),
                ratio(found, way, bare, cpu),
                ratio(found, way, peer, cpu),
            )
        )
    outcome.tables.append(table)


def goals(pace: str, found: dict[str, list[dict[str, Any]]]) -> list[Goal]:
    return [
        Goal(
            f"{pace}: client CPU of tritonclient's, sync",
            ratio(found, "nupic_client", "tritonclient", cpu),
            most=0.6,
        ),
        Goal(
            f"{pace}: p99 delivery latency of tritonclient's, sync",
            ratio(found, "nupic_client", "tritonclient", late(0.99)),
            most=1.0,
        ),
        Goal(
            f"{pace}: first token (median) of bare, sync",
            ratio(found, "nupic_client", "bare grpcio", first(0.5)),
            most=1.1,
        ),
        Goal(
            f"{pace}: first token (median) of bare, async",
            ratio(found, "nupic_client async", "bare grpc.aio", first(0.5)),
            most=1.1,
        ),
    ]
