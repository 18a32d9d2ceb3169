"""What an import takes, a program from its start to its first token, and a first token on an open connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from benchmarks.blast_server import MODEL
from benchmarks.measure_start import FIRST, IMPORTS
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
from benchmarks.ways import NEEDS, WAYS, Job, rivals

TOKENS = 5
ROUNDS = 5
"""So many times the repeats: one start is short, and what else the machine does counts for much."""

ANSWERS = 300
"""Short answers one after the other, on an open connection."""


def run(settings: Settings) -> Outcome:
    outcome = Outcome()
    rounds = settings.repeats * settings.scaled(ROUNDS)
    imports = alternated(IMPORTS, rounds, fresh)
    with server_process("benchmarks.blast_server") as url:
        firsts = alternated(list(FIRST), rounds, lambda way: fresh(way, url, MODEL, str(TOKENS)))
        job = asdict(Job(url, MODEL, 1, TOKENS)) | {"rounds": settings.scaled(ANSWERS, 20)}
        answers = alternated(
            [way for way in WAYS if way not in NEEDS],
            settings.repeats,
            lambda way: in_process("benchmarks.measure_first", {"way": way, **job}),
        )
    outcome.tables += [import_table(imports), first_table(firsts), answer_table(answers, job["rounds"])]
    medians = {way: [median(figures["first"]) for figures in runs] for way, runs in answers.items()}
    outcome.data = {"imports": imports, "firsts": firsts, "answers": medians}
    milliseconds = median([figures["seconds"] for figures in imports["import nupic_client"]]) * 1e3
    outcome.goals += [
        Goal("`import nupic_client` (ms)", milliseconds, most=30),
        Goal(
            "process start to first token: time of tritonclient's",
            ratio(firsts, "nupic_client", "tritonclient", seconds),
            most=1.1,
        ),
    ]
    return outcome


def fresh(way: str, *job: str) -> dict[str, Any]:
    """Measure one way in a new interpreter; the clock is the system's, and runs from before its start."""
    # As after an installation by pip, which compiles all modules: this checkout's are compiled by the first start.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "benchmarks.measure_start", way, repr(time.monotonic()), *job]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    if done.returncode:
        raise RuntimeError(f"{way} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def seconds(figures: dict[str, Any]) -> float:
    return float(figures["seconds"])


def import_table(found: dict[str, list[dict[str, Any]]]) -> Table:
    table = Table("Imports", ("import", "ms", "of tritonclient's", "resident MiB"))
    for way, runs in found.items():
        table.rows.append(
            (
                f"`{way}`",
                median([seconds(figures) for figures in runs]) * 1e3,
                ratio(found, way, "import tritonclient.grpc", seconds),
                median([figures["memory"] for figures in runs]),
            )
        )
    return table


def first_table(found: dict[str, list[dict[str, Any]]]) -> Table:
    table = Table(
        "From the start of the process to the first token",
        ("way", "ms", "of bare", "of tritonclient's", "resident MiB"),
    )
    table.note = (
        "Interpreter, imports, connection, request, first token. nupic_client asks the server for the model's"
        " signature besides, once; the others are told it."
    )
    for way, runs in found.items():
        table.rows.append(
            (
                way,
                median([seconds(figures) for figures in runs]) * 1e3,
                ratio(found, way, "bare grpcio", seconds),
                ratio(found, way, rivals(way)[1], seconds),
                median([figures["memory"] for figures in runs]),
            )
        )
    return table


def answer_table(found: dict[str, list[dict[str, Any]]], rounds: int) -> Table:
    """Show the time from a request to its first token, which the server sends at once."""

    def first(figures: dict[str, Any]) -> float:
        return percentile(figures["first"], 0.5) * 1e6

    table = Table(
        "From a request to its first token, on an open connection",
        ("way", "p50 µs", "of bare", "of tritonclient's", "CPU µs an answer"),
        note=f"{rounds} answers of {TOKENS} tokens, one after the other; each in a thread or a task of its own.",
    )
    for way, runs in found.items():
        bare, peer = rivals(way)
        shares = [ratio(found, way, other, first) for other in (bare, peer)]
        spent = median([figures["cpu"] for figures in runs]) / rounds * 1e6
        table.rows.append((way, median([first(figures) for figures in runs]), *shares, spent))
    return table
