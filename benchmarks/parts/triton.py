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
WITHOUT_POLLER = [name for name in WAYS_HERE if "poller" not in name]
UNPACED = ((1, 2000), (32, 120), (128, 30))
"""Streams, tokens of each stream."""
PACED = (
    (1, 20_000, 100, 150),
    (32, 20_000, 50, 12),
    (128, 20_000, 40, 6),
    (1, 50_000, 50, 0),
    (32, 50_000, 20, 0),
    (128, 50_000, 20, 0),
)
"""Streams, microseconds between tokens, tokens of each stream; and how many waves of so many answers tell the time to the
first token, which does not depend on the pace."""

MOST_STREAMS = 128


def first(share: float) -> Callable[[dict[str, Any]], float]:
    return lambda figures: percentile(figures["waves"], share) * 1e3


def late(share: float) -> Callable[[dict[str, Any]], float]:
    return lambda figures: percentile(figures["latencies"], share) * 1e6


UNPACED_COLUMNS = {"tokens/s": rate, "CPU µs/token": cpu}
PACED_COLUMNS = {"CPU µs/token": cpu, "delivery p50 µs": late(0.5), "p99 µs": late(0.99)}
FIRST_COLUMNS = {"first token p50 ms": first(0.5), "p99 ms": first(0.99)}


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    with server_process("benchmarks.triton_server") as url:
        for streams, tokens in UNPACED:
            job = Job(url, MODEL, streams, settings.scaled(tokens, 5), delay_us=0, stamp=False)
            found = alternated(WITHOUT_POLLER, settings.repeats, lambda way, job=job: read_streams(way, job))
            add(outcome, f"{named(streams)} as fast as the server can", UNPACED_COLUMNS, found)
        for streams, delay, tokens, waves in PACED:
            job = Job(url, MODEL, streams, settings.scaled(tokens, 5), delay_us=delay)
            count = settings.scaled(waves, 2) if waves else 0
            found = alternated(
                WAYS_HERE if waves else WITHOUT_POLLER,
                settings.repeats,
                lambda way, job=job, count=count: read_streams(way, job, count),
            )
            pace = f"{named(streams)}, a token every {delay // 1000} ms"
            add(outcome, pace, PACED_COLUMNS, found)
            outcome.data[f"{streams} x {delay // 1000} ms"] = {
                way: {name: [column(figures) for figures in runs] for name, column in PACED_COLUMNS.items()}
                for way, runs in found.items()
            }
            outcome.goals += goals(pace, found)
            if waves:
                first_tokens(outcome, streams, found)
    outcome.tables.append(per_core(outcome.data))
    return outcome


def named(streams: int) -> str:
    return f"{streams} stream{'s' * (streams > 1)}"


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
            (way, *medians(columns, runs), ratio(found, way, bare, cpu), ratio(found, way, peer, cpu))
        )
    outcome.tables.append(table)


def medians(columns: dict[str, Callable[[dict[str, Any]], float]], runs: list[dict[str, Any]]) -> list[float]:
    return [median([column(figures) for figures in runs]) for column in columns.values()]


def first_tokens(outcome: Outcome, streams: int, found: dict[str, list[dict[str, Any]]]) -> None:
    """Show the time to the first token when so many requests are sent in the same moment, on an open connection."""
    table = Table(
        f"Real Triton, first token of {named(streams)} at once",
        ("way", *FIRST_COLUMNS, "of bare", "of tritonclient's"),
    )
    for way, runs in found.items():
        shares = [ratio(found, way, other, first(0.5)) for other in rivals(way)]
        table.rows.append((way, *medians(FIRST_COLUMNS, runs), *shares))
    outcome.tables.append(table)
    for way, flavour in (("nupic_client", "sync"), ("nupic_client async", "async")):
        outcome.goals.append(
            Goal(
                f"{named(streams)} at once: first token (median) of bare, {flavour}",
                ratio(found, way, rivals(way)[0], first(0.5)),
                most=1.1,
            )
        )


def per_core(data: dict[str, Any]) -> Table:
    """Show how many streams would keep one core busy with reading: the pause between tokens by the CPU time of one."""
    paces = [
        (delay, data[f"{streams} x {delay // 1000} ms"])
        for streams, delay, *_ in PACED
        if streams == MOST_STREAMS
    ]
    table = Table(
        "Streams that one core carries",
        ("way", *(f"a token every {delay // 1000} ms" for delay, _ in paces)),
        note=f"From the client's CPU time for a token with {MOST_STREAMS} streams. The server and the model come on top.",
    )
    for way in WITHOUT_POLLER:
        table.rows.append((way, *(int(delay / median(ways[way]["CPU µs/token"])) for delay, ways in paces)))
    return table


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
    ]
