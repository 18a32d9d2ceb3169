"""Many streams at the same time through one client: 1,000 asyncio tasks and 200 threads."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.blast_server import MODEL
from benchmarks.runner import (
    Goal,
    Outcome,
    Settings,
    Table,
    alternated,
    in_process,
    median,
    percentile,
    ratio,
    server_process,
)
from benchmarks.ways import CHANNELS, Job, rivals

TOKENS = 50
TASKS, THREADS = 1000, 200
SERVER_LIMIT = 1000
"""How many streams the blast server accepts on one connection at the same time."""
BEYOND = 100
SETS = (
    ("tasks", TASKS, ("bare grpc.aio", "nupic_client async", "tritonclient.aio")),
    ("threads", THREADS, ("bare grpcio", "nupic_client", "tritonclient")),
)
FIGURES = (
    "tokens/s",
    "CPU µs/token",
    "first token p50 ms",
    "p99 ms",
    "complete p50 s",
    "last s",
    "fairness",
    "KiB/stream",
    "threads",
)
NOTE = (
    "The server holds all but the first token of each back until all streams are open."
    " Fairness is Jain's index of the streams' tokens/s: 1 if all got the same, 1/n if one got everything."
    " KiB/stream is the growth of the resident memory at its largest, with what waits to be read; threads are those"
    " of the process, gRPC's own and the callers' included."
)


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    tokens = settings.scaled(TOKENS, 2)
    with server_process("benchmarks.blast_server") as url:

        def measured(way: str, streams: int, hold: int) -> dict[str, Any]:
            job = Job(url, MODEL, streams, tokens, hold=hold)
            return in_process("benchmarks.measure_many", {"way": way, **asdict(job)}, timeout=120)

        for kind, number, ways in SETS:
            streams = settings.scaled(number, 8)
            found = alternated(
                ways, settings.repeats, lambda way, streams=streams: measured(way, streams, streams)
            )
            report(outcome, f"{streams:,} {kind}, one client, {tokens} tokens each", found)
            outcome.data[kind] = {
                way: {"figures": figures(runs), "first": first_tokens(runs)} for way, runs in found.items()
            }
            outcome.goals.append(completion(found, streams, tokens, kind))
        streams = settings.scaled(TASKS, 8)
        found = alternated(list(CHANNELS), settings.repeats, lambda way: measured(way, streams, streams))
        channels(outcome, f"{streams:,} tasks on bare grpc.aio, by channels", found)
        if streams == SERVER_LIMIT:
            beyond(outcome, measured("nupic_client async", SERVER_LIMIT + BEYOND, SERVER_LIMIT))
    return outcome


def fairness(runs: dict[str, Any]) -> float:
    """Return Jain's index of the streams' rates."""
    rates = [1 / whole for whole in runs["whole"]]
    return sum(rates) ** 2 / len(rates) / sum(rate * rate for rate in rates)


def figures(runs: list[dict[str, Any]]) -> list[float]:
    """Return the medians in the order of `FIGURES`."""
    each = [
        (
            run["tokens"] / run["wall"],
            run["cpu"] / run["tokens"] * 1e6,
            percentile(run["first"], 0.5) * 1e3,
            percentile(run["first"], 0.99) * 1e3,
            percentile(run["whole"], 0.5),
            max(run["whole"]),
            fairness(run),
            run["growth"] * 1024 / len(run["first"]),
            run["threads"],
        )
        for run in runs
    ]
    return [median(column) for column in zip(*each, strict=True)]


def first_tokens(runs: list[dict[str, Any]]) -> list[float]:
    """Return the percentiles 0 to 100 of the time to the first token: medians over the runs."""
    return [median([percentile(run["first"], percent / 100) for run in runs]) for percent in range(101)]


def rate(run: dict[str, Any]) -> float:
    return float(run["tokens"] / run["wall"])


def report(outcome: Outcome, title: str, found: dict[str, list[dict[str, Any]]]) -> None:
    table = Table(title, ("way", *FIGURES[:1], "of bare", "of tritonclient", *FIGURES[1:]), note=NOTE)
    for way, runs in found.items():
        speed, *rest = figures(runs)
        bare, peer = rivals(way)
        table.rows.append((way, speed, ratio(found, way, bare, rate), ratio(found, way, peer, rate), *rest))
    outcome.tables.append(table)


def channels(outcome: Outcome, title: str, found: dict[str, list[dict[str, Any]]]) -> None:
    table = Table(title, ("channels", *FIGURES[:1], "of one channel", *FIGURES[1:]))
    table.note = (
        "Each channel has a connection of its own (grpc.use_local_subchannel_pool=1, the client's default); with the"
        " shared pool, channels to the same server share one. The client opens one channel."
    )
    for way, runs in found.items():
        speed, *rest = figures(runs)
        table.rows.append((way, speed, ratio(found, way, "one channel", rate), *rest))
    outcome.tables.append(table)
    outcome.data["channels"] = {way: figures(runs) for way, runs in found.items()}


def completion(found: dict[str, list[dict[str, Any]]], streams: int, tokens: int, kind: str) -> Goal:
    """Every measurement ends with an error unless all tokens came; count them all the same."""
    ours = next(runs for way, runs in found.items() if way.startswith("nupic_client"))
    share = min(run["tokens"] / (streams * tokens) for run in ours)
    return Goal(f"{streams:,} {kind} at the same time: share of the tokens that came", share, least=1)


def beyond(outcome: Outcome, run: dict[str, Any]) -> None:
    """Show what the streams beyond the server's limit do: they wait until others have ended."""
    first = sorted(run["first"])
    table = Table(
        f"{SERVER_LIMIT + BEYOND:,} tasks, server's limit {SERVER_LIMIT:,} streams a connection (nupic_client async)",
        ("streams", "first token p50 ms", "first token p99 ms"),
        note="The server holds the first 1,000 until all of them are open. What is beyond the limit waits in gRPC,"
        " without an error, until others have ended.",
    )
    for name, part in (("the first 1,000", first[:SERVER_LIMIT]), ("the rest", first[SERVER_LIMIT:])):
        table.rows.append((name, percentile(part, 0.5) * 1e3, percentile(part, 0.99) * 1e3))
    outcome.tables.append(table)
