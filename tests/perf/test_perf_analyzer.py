"""I-F12: NVIDIA's perf_analyzer measures FakeTriton and the embedded server, and finds their durations.

`nox -s perf` brings the program; without it these tests are skipped.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from perf.program import PROGRAM

from nupic_client import LocalServer
from nupic_client.signature import ModelSignature, TensorSpec
from nupic_client.testing import FakeTriton, text_signature

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

X, Y = {"x": TensorSpec("x", "FP32")}, {"y": TensorSpec("y", "FP32")}
MODELS = [
    text_signature("gpt", decoupled=False),
    text_signature("gpt.streaming", options=["max_tokens"]),
    ModelSignature("rows", X, Y, max_batch_size=8, backend="python"),
    ModelSignature("ensemble", X, Y, platform="ensemble"),
]
PROMPT = {"data": [{"text_input": ["Why is the sky blue?"], "max_tokens": [2]}]}


@pytest.fixture
def measure(libraries: Path, tmp_path: Path) -> Callable[..., dict[str, float]]:
    """Return what measures a model: it takes further options and returns the figures of the report."""

    def run(url: str, model: str, *options: str, data: Any = None) -> dict[str, float]:
        if data is not None:
            (tmp_path / "data.json").write_text(json.dumps(data))
            options = (*options, "--input-data", str(tmp_path / "data.json"))
        report = tmp_path / "report.csv"
        done = subprocess.run(
            [
                *(PROGRAM, "-m", model, "-u", url, "-i", "grpc", "--concurrency-range", "1"),
                *("--measurement-mode", "count_windows", "--measurement-request-count", "5"),
                *("--stability-percentage", "999", "-f", str(report), *options),
            ],
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (row,) = csv.DictReader(report.read_text().splitlines())
        return {name: float(value) for name, value in row.items() if value}

    return run


def reply(request: Any) -> Any:
    values = request.inputs.get("x")
    if values is None:
        return ["one", " two"]
    return [{"y": values if isinstance(values, list) else [values]}]


@pytest.fixture(scope="module")
def fake():
    with FakeTriton(reply, models=MODELS) as server:
        yield server


@pytest.mark.parametrize(
    ("model", "options", "data"),
    [
        ("gpt", ("--string-data", "hi", "--shape", "stop:1"), None),
        ("gpt", (), PROMPT),
        ("gpt.streaming", ("--streaming",), PROMPT),
        ("rows", (), None),
        ("rows", ("-b", "4"), None),
        ("ensemble", (), None),
    ],
)
def test_a_fake_server_can_be_measured(measure, fake, model, options, data):
    figures = measure(fake.url, model, *options, data=data)
    assert figures["Inferences/Second"] > 0
    assert figures["Server Compute Infer"] > 0
    parts = [figures[f"Server {part}"] for part in ("Queue", "Compute Input", "Compute Output")]
    assert all(part >= 0 for part in parts)


@pytest.mark.model
@pytest.mark.parametrize(
    ("model", "options"),
    [("smollm2", ()), ("smollm2.streaming", ("--streaming",)), ("smollm2-embed", ("-b", "2"))],
)
def test_the_embedded_server_can_be_measured(measure, model, options):
    data = {"data": [{"text_input": ["A cat."]}]} if model == "smollm2-embed" else PROMPT
    with LocalServer() as server:
        figures = measure(server.url, model, *options, data=data)
    assert figures["Server Compute Infer"] > 100  # microseconds: a model has really worked
