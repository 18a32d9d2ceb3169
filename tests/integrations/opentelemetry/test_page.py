"""The code of the documentation's page runs as it is printed."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys

from needed import need

need("opentelemetry")

from pages import ROOT

from nupic_client.integrations.opentelemetry.names import LATEST, OURS, PRESENT, Metrics
from nupic_client.testing import FakeTriton, text_signature

PAGE = ROOT / "docs" / "integrations" / "opentelemetry.md"


def test_the_code():
    """In a process of its own: the console's exporter keeps the output of the moment in which it was imported."""
    program = "import sys, pathlib\nfrom pages import run_blocks\nrun_blocks(pathlib.Path(sys.argv[1]), sys.argv[2])"
    with FakeTriton(["Once", " upon"], models=[text_signature("smollm2.streaming")]) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, str(PAGE), server.url],
            capture_output=True,
            text=True,
            timeout=100,
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        )
    assert done.returncode == 0, done.stderr
    assert '"name": "text_completion smollm2"' in done.stdout
    assert "gen_ai.client.operation.duration [10]" in done.stdout
    assert "gen_ai.client.operation.time_per_output_chunk [10]" in done.stdout


def test_the_page_names_all_metrics_and_our_own_attributes():
    text = PAGE.read_text(encoding="utf-8")
    metrics = [each.inference for each in (PRESENT, LATEST)]
    names = {getattr(each, field.name) for each in metrics for field in dataclasses.fields(Metrics)}
    names |= {value for name, value in vars(OURS).items() if not name.startswith("_")}
    names = {name.replace("usage.output_tokens", "usage.input_tokens") for name in names if name}
    names = {name.replace("operation.output_tokens", "operation.input_tokens") for name in names}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_page_names_no_attribute_that_is_not_written():
    written = {value for value in dataclasses.asdict(PRESENT).values() if isinstance(value, str)}
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(gen_ai\.[\w.]+)`", text))
    metrics = {name for name in named if name.startswith("gen_ai.client.")}
    assert named - metrics <= written
