"""What the client itself can do: a server that costs about a microsecond a token, on the other core."""

from __future__ import annotations

from typing import Any

from benchmarks.blast_server import MODEL
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
from benchmarks.ways import Job, available, rivals

SIZES = ((1, 30_000), (32, 1_500), (128, 375))
"""Streams at the same time, and tokens of each."""
COLUMNS = (
    "way",
    "tokens/s",
    "of bare",
    "of tritonclient",
    "CPU µs/token",
    "waits/token",
    "first token p50 ms",
    "threads",
)


def rate(figures: dict[str, Any]) -> float:
    return float(figures["tokens"] / figures["wall"])


def cpu(figures: dict[str, Any]) -> float:
    return float(figures["cpu"] / figures["tokens"] * 1e6)


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    with server_process("benchmarks.blast_server") as url:
        for streams, tokens in SIZES:
            job = Job(url, MODEL, streams, settings.scaled(tokens, 20))
            found = alternated(available(), settings.repeats, lambda way, job=job: read_streams(way, job))
            report(outcome, streams, found)
    return outcome


def report(outcome: Outcome, streams: int, found: dict[str, list[dict[str, Any]]]) -> None:
    title = f"{streams} stream{'s' * (streams > 1)}"
    table = Table(f"Blast server, {title}", COLUMNS)
    for way, runs in found.items():
        bare, peer = rivals(way)
        table.rows.append(
            (
                way,
                median([rate(figures) for figures in runs]),
                ratio(found, way, bare, rate),
                ratio(found, way, peer, rate),
                median([cpu(figures) for figures in runs]),
                median([figures["switches"] / figures["tokens"] for figures in runs]),
                median([percentile(figures["first"], 0.5) for figures in runs]) * 1e3,
                runs[0]["threads"],
            )
        )
    outcome.tables.append(table)
    outcome.data[str(streams)] = {
        way: {"rate": [rate(figures) for figures in runs], "cpu": [cpu(figures) for figures in runs]}
        for way, runs in found.items()
    }
    outcome.goals += goals(streams, found)


def goals(streams: int, found: dict[str, list[dict[str, Any]]]) -> list[Goal]:
    def share(one: str, other: str) -> float:
        return ratio(found, one, other, rate)

    if streams == 1:
        return [
            Goal(
                "one sync stream: time of the bare call", 1 / share("nupic_client", "bare grpcio"), most=1.25
            ),
            Goal(
                "one sync stream: tokens/s of tritonclient's", share("nupic_client", "tritonclient"), least=8
            ),
        ]
    if streams == 32:
        return [
            Goal(
                "32 async streams: time of bare grpc.aio",
                1 / share("nupic_client async", "bare grpc.aio"),
                most=1.25,
            ),
            Goal(
                "32 async streams: tokens/s of tritonclient.aio's",
                share("nupic_client async", "tritonclient.aio"),
                least=1,
            ),
        ]
    return [
        Goal("128 sync threads: tokens/s of tritonclient's", share("nupic_client", "tritonclient"), least=3)
    ]
