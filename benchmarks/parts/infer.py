"""Requests that are answered at once: embeddings per second, and tensors of 100 MB."""

from __future__ import annotations

from typing import Any

from benchmarks.bulk_server import DOWNLOAD, UPLOAD
from benchmarks.measure_infer import BULK, REQUESTS, SINGLE
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

SERVERS = {"real Triton": "benchmarks.triton_server", "blast server": "benchmarks.blast_server"}
REQUESTS_AT_ONCE = ((1, 1_000, 10), (32, 6_000, 3), (128, 6_000, 3))
"""Requests at the same time, how many in all, and how often the usual repeats.

A process differs from the next by some 5 %, which is more than what is to be told apart.
"""
SIZE = 100_000_000
BATCHED = "nupic_client map, batch_size=32"


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    for server, module in SERVERS.items():
        with server_process(module) as url:
            for at_once, number, times in REQUESTS_AT_ONCE:
                order = {"url": url, "at_once": at_once, "number": settings.scaled(number, 32)}
                left_out = {BATCHED} if at_once == 1 else {*SINGLE}
                found = alternated(
                    [way for way in REQUESTS if way not in left_out],
                    settings.repeats * times,
                    lambda way, order=order: in_process("benchmarks.measure_infer", {"way": way, **order}),
                )
                embeddings(outcome, server, at_once, order["number"], found)
    size = settings.scaled(SIZE, 1_000_000) // 4 * 4
    with server_process("benchmarks.bulk_server", str(size)) as url:
        for model in (UPLOAD, DOWNLOAD):
            order = {"url": url, "model": model, "size": size}
            found = alternated(
                list(BULK),
                settings.repeats,
                lambda way, order=order: in_process("benchmarks.measure_infer", {"way": way, **order}),
            )
            bulk(outcome, model, size, found)
    return outcome


def wall(figures: dict[str, Any]) -> float:
    return float(figures["wall"])


def cpu(figures: dict[str, Any]) -> float:
    return float(figures["cpu"])


def rivals(way: str) -> tuple[str, str]:
    waits = way.rpartition(" ")[2] in {"amap", "ainfer"} or "aio" in way
    return ("bare grpc.aio", "tritonclient.aio") if waits else ("bare grpcio", "tritonclient")


def embeddings(
    outcome: Outcome, server: str, at_once: int, number: int, found: dict[str, list[dict[str, Any]]]
) -> None:
    made = Table(
        f"Embeddings, {server}, {at_once} at the same time",
        (
            "way",
            "embeddings/s",
            "of bare",
            "of tritonclient",
            "CPU µs each",
            "CPU of bare",
            "CPU of tritonclient's",
        ),
        note="The model costs nothing. `map` works in one thread; the bare and tritonclient's way in as many threads"
        " as requests, with a client object for each.",
    )
    for way, runs in found.items():
        bare, peer = rivals(way)
        made.rows.append(
            (
                way,
                number / median([wall(figures) for figures in runs]),
                1 / ratio(found, way, bare, wall),
                1 / ratio(found, way, peer, wall),
                median([cpu(figures) for figures in runs]) / number * 1e6,
                ratio(found, way, bare, cpu),
                ratio(found, way, peer, cpu),
            )
        )
        if way.startswith("nupic_client") and way != BATCHED:
            what = f"{way.removeprefix('nupic_client ')}, {server}, {at_once} at once"
            outcome.goals += (
                Goal(f"{what}: CPU of tritonclient's", ratio(found, way, peer, cpu), most=1.0),
                Goal(f"{what}: requests/s of tritonclient's", 1 / ratio(found, way, peer, wall), least=1.0),
                Goal(f"{what}: CPU of the bare call's", ratio(found, way, bare, cpu), most=1.3),
            )
    outcome.tables.append(made)
    outcome.data[f"embeddings {server} {at_once}"] = {"number": number, "found": found}


def bulk(outcome: Outcome, model: str, size: int, found: dict[str, list[dict[str, Any]]]) -> None:
    made = Table(
        f"{model.capitalize()} of {size / 1e6:,.0f} MB",
        ("way", "ms", "of bare", "of tritonclient's", "CPU ms", "copies"),
        note="One request on a server that neither parses nor computes. Copies: the growth of the resident memory at its"
        " largest, in times the tensor; the caller's own array does not count, what gRPC needs does.",
    )
    for way, runs in found.items():
        made.rows.append(
            (
                way,
                median([wall(figures) for figures in runs]) * 1e3,
                ratio(found, way, "bare grpcio", wall),
                ratio(found, way, "tritonclient", wall),
                median([cpu(figures) for figures in runs]) * 1e3,
                median([figures["copies"] for figures in runs]),
            )
        )
    outcome.tables.append(made)
    outcome.data[model] = found
    share = ratio(found, "nupic_client", "tritonclient", lambda figures: float(figures["copies"]))
    outcome.goals.append(Goal(f"{model} of {size / 1e6:,.0f} MB: memory of tritonclient's", share, most=1.05))
