"""Numbers there and back on a real Triton: as bytes of the request, and in shared memory."""

from __future__ import annotations

from typing import Any

from benchmarks.measure_shm import WAYS
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

SIZES = ((1_024, "1 KB", 1_000), (1 << 20, "1 MB", 200), (16 << 20, "16 MB", 20), (100 << 20, "100 MB", 5))
"""The size of the tensor, its name, and the number of requests."""
BYTES, SHARED = "nupic_client, bytes", "nupic_client, shared memory"


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    with server_process("benchmarks.triton_server") as url:
        for size, name, number in SIZES:
            order = {"url": url, "size": size, "number": settings.scaled(number)}
            found = alternated(
                list(WAYS),
                settings.repeats,
                lambda way, order=order: in_process("benchmarks.measure_shm", {"way": way, **order}),
            )
            outcome.tables.append(table(name, found))
            outcome.data[name] = {"number": order["number"], "found": found}
            if size >= 1 << 24:
                share = ratio(found, SHARED, BYTES, wall)
                outcome.goals.append(Goal(f"{name} in shared memory, time of the bytes'", share, most=0.8))
    return outcome


def wall(figures: dict[str, Any]) -> float:
    return float(figures["wall"])


def cpu(figures: dict[str, Any]) -> float:
    return float(figures["cpu"])


def table(name: str, found: dict[str, list[dict[str, Any]]]) -> Table:
    made = Table(
        f"{name} there and back, real Triton",
        ("way", "ms", "of the bytes", "of tritonclient's", "CPU ms", "CPU of the bytes'"),
        note="One request after the other to a model of Triton's Python backend that gives the numbers back. "
        "*Shared memory* copies the array into the region each time; *already there* finds it there.",
    )
    for way, runs in found.items():
        peer = f"tritonclient, {'bytes' if way.endswith('bytes') else 'shared memory'}"
        made.rows.append(
            (
                way,
                median([wall(figures) for figures in runs]) * 1e3,
                ratio(found, way, BYTES, wall),
                ratio(found, way, peer, wall),
                median([cpu(figures) for figures in runs]) * 1e3,
                ratio(found, way, BYTES, cpu),
            )
        )
    return made
