"""The code of the documentation's page runs as it is printed."""
# ruff: noqa: E402 - what is imported may be missing

from __future__ import annotations

import dataclasses
import re

from integrations.needed import need

need("opentelemetry")

from pages import ROOT, run_blocks

from nupic_client.integrations.opentelemetry.names import LATEST, OURS, PRESENT, Metrics
from nupic_client.testing import FakeTriton, text_signature

PAGE = ROOT / "docs" / "integrations" / "opentelemetry.md"


def test_the_code(capsys):
    with FakeTriton(["Once", " upon"], models=[text_signature("smollm2.streaming")]) as server:
        run_blocks(PAGE, server.url)
    printed = capsys.readouterr().out
    assert '"name": "text_completion smollm2"' in printed
    assert "gen_ai.client.operation.duration [10]" in printed
    assert "gen_ai.client.operation.time_per_output_chunk [10]" in printed


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
