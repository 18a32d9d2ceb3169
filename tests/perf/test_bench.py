"""`nupic_client.bench` beside NVIDIA's perf_analyzer, on the real Triton with a model that keeps a pace.

genai-perf computes its metrics from the times that perf_analyzer exports; so does this. ``nox -s perf -- -s -k beside``
prints the table of docs/how-to/bench.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from perf.program import PROGRAM

from nupic_client import bench
from nupic_client.local.triton.process import TritonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.triton, pytest.mark.timeout(600)]

MODELS = Path(__file__).parents[2] / "benchmarks" / "models"
FIRST, NEXT, TOKENS = 0.05, 0.015, 20
"""Seconds to the first token and from each to the next, and the number of tokens."""
PACE = {"first_token_delay_us": round(FIRST * 1e6), "token_delay_us": round(NEXT * 1e6)}
PROMPT = "Why is the sky blue?"
ROUNDS, MOST_ROUNDS = 3, 9
CLOSE = 0.25
"""A machine with other work may add some milliseconds to either; on a quiet one they differ by less than 0.05."""


@pytest.fixture(scope="module")
def paced(libraries, tmp_path_factory) -> Iterator[str]:
    """Return the address of a Triton whose model keeps a pace."""
    models = tmp_path_factory.mktemp("paced") / "models"
    shutil.copytree(MODELS / "llm", models / "llm", ignore=shutil.ignore_patterns("__pycache__"))
    with TritonProcess(models) as server:
        yield server.url


def by_perf_analyzer(
    url: str, libraries: Path, folder: Path, concurrency: int, count: int
) -> dict[str, float]:
    """Return the medians in milliseconds, by genai-perf's definitions."""
    data, export = folder / "data.json", folder / "export.json"
    export.unlink(missing_ok=True)  # it must not be there
    inputs = {"text_input": [PROMPT], "max_tokens": [TOKENS], "stamp": [0]} | {
        name: [it] for name, it in PACE.items()
    }
    data.write_text(json.dumps({"data": [inputs]}))
    done = subprocess.run(
        [
            *(PROGRAM, "-m", "llm", "-u", url, "-i", "grpc", "--streaming", "--stability-percentage", "999"),
            *("--concurrency-range", str(concurrency), "--request-count", str(count)),
            *("--input-data", str(data), "--profile-export-file", str(export)),
        ],
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (experiment,) = json.loads(export.read_text())["experiments"]
    return medians(experiment["requests"])


def medians(requests: list[dict[str, Any]]) -> dict[str, float]:
    found: dict[str, list[float]] = {
        "time_to_first_token": [],
        "request_latency": [],
        "inter_token_latency": [],
    }
    for request in requests:
        start, times = request["timestamp"], request["response_timestamps"]
        found["time_to_first_token"].append((times[0] - start) / 1e6)
        found["request_latency"].append((times[-1] - start) / 1e6)
        found["inter_token_latency"].append((times[-1] - times[0]) / (TOKENS - 1) / 1e6)
    return {name: median(values) for name, values in found.items()}


def by_bench(url: str, concurrency: int, count: int) -> dict[str, float]:
    report = bench.run(
        "llm",
        url,
        prompts=[PROMPT],
        concurrency=concurrency,
        request_count=count,
        max_tokens=TOKENS,
        backend_inputs=PACE,
    )
    assert (report.request_count, report.error_count) == (count, 0)
    assert report.metrics["output_sequence_length"].avg == TOKENS
    return {
        name: report.metrics[name].p50 * 1000
        for name in ("time_to_first_token", "request_latency", "inter_token_latency")
    }


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_medians_are_those_of_perf_analyzer_beside_it(paced, libraries, tmp_path, concurrency):
    """The two take turns, so that what else the machine does is in both."""
    count = 10 * concurrency
    theirs, ours = [], []
    for _ in range(MOST_ROUNDS):
        theirs.append(by_perf_analyzer(paced, libraries, tmp_path, concurrency, count))
        ours.append(by_bench(paced, concurrency, count))
        expected, found = over_rounds(theirs), over_rounds(ours)
        if len(ours) >= ROUNDS and found == pytest.approx(expected, rel=CLOSE):
            break
    print(f"\nconcurrency {concurrency}, medians of {len(ours)} rounds of {count} requests, ms")
    for name, value in expected.items():
        print(f"| {name} | {value:.2f} | {found[name]:.2f} | {100 * (found[name] / value - 1):+.1f} % |")
    assert found == pytest.approx(expected, rel=CLOSE)
    assert found["time_to_first_token"] >= FIRST * 1000


def over_rounds(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(each[name] for each in rounds) for name in rounds[0]}
