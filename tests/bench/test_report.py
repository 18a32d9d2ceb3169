"""The report as genai-perf's JSON and CSV, and its notes."""

from __future__ import annotations

import csv
import dataclasses
import json

import jsonschema
import pytest

from nupic_client.bench import BenchReport, ErrorCount, Statistics
from nupic_client.bench.metrics import METRICS
from nupic_client.bench.statistics import STATISTICS

FIGURES = Statistics(
    count=4,
    avg=0.25,
    p1=0.1,
    p5=0.11,
    p10=0.12,
    p25=0.15,
    p50=0.2,
    p75=0.3,
    p90=0.4,
    p95=0.45,
    p99=0.5,
    min=0.05,
    max=0.6,
    std=0.02,
)
REPORT = BenchReport(
    model="gpt",
    url="gpu:8001",
    load="concurrency",
    level=4,
    streaming=True,
    metrics={metric.name: FIGURES for metric in METRICS},
    request_count=4,
    error_count=1,
    cut_off=0,
    errors=(ErrorCount("InferenceError", 1, "out of memory"),),
    benchmark_duration=2.0,
    request_throughput=2.0,
    request_goodput=1.5,
    output_token_throughput=20.0,
    output_tokens_from="server",
    input_tokens_from="server",
    send_delay=None,
    loop_delay=FIGURES,
    cpu=0.1,
    ended="complete",
    input_config={"model": ["gpt"], "concurrency": 4},
)
TOTAL = {"type": "object", "required": ["unit", "avg"], "additionalProperties": False}
TOTAL |= {"properties": {"unit": {"type": "string"}, "avg": {"type": "number"}}}
DISTRIBUTION = {
    "type": "object",
    "required": ["unit", *STATISTICS],
    "additionalProperties": False,
    "properties": {"unit": {"type": "string"}} | {name: {"type": "number"} for name in STATISTICS},
}
SCHEMA = {
    "type": "object",
    "required": ["request_throughput", "request_latency", "request_count", "input_config"],
    "properties": {
        **dict.fromkeys(
            ("request_throughput", "output_token_throughput", "request_count", "request_goodput"), TOTAL
        ),
        **{metric.name: DISTRIBUTION for metric in METRICS},
        "input_config": {"type": "object"},
    },
}
"""What genai-perf writes to profile_export_genai_perf.json."""


def test_the_json_has_genai_perfs_shape():
    exported = json.loads(json.dumps(REPORT.to_dict()))
    jsonschema.validate(exported, SCHEMA)
    assert exported["time_to_first_token"]["unit"] == "ms"
    assert exported["time_to_first_token"]["p99"] == 500.0
    assert exported["output_token_throughput_per_user"] == {
        "unit": "tokens/sec/user",
        **{name: getattr(FIGURES, name) for name in STATISTICS},
    }
    assert exported["request_throughput"] == {"unit": "requests/sec", "avg": 2.0}
    assert exported["errors"] == [{"kind": "InferenceError", "count": 1, "message": "out of memory"}]
    assert exported["measuring"]["loop_delay"]["max"] == 600.0
    assert "send_delay" not in exported["measuring"]


def test_the_csv_is_two_tables():
    rows = list(csv.reader(REPORT.to_csv().splitlines()))
    gap = rows.index([])
    requests, totals = rows[:gap], rows[gap + 1 :]
    assert requests[0][:10] == ["Metric", "avg", "min", "max", "p99", "p95", "p90", "p75", "p50", "p25"]
    assert requests[1][:5] == ["Time To First Token (ms)", "250.00", "50.00", "600.00", "500.00"]
    assert [row[0] for row in requests[-2:]] == ["Output Sequence Length", "Input Sequence Length"]
    assert totals[0] == ["Metric", "Value"]
    assert ["Output Token Throughput (tokens/sec)", "20.00"] in totals
    assert {len(row) for row in requests} == {14}


def test_what_was_not_measured_is_left_out():
    report = dataclasses.replace(
        REPORT, metrics={"request_latency": FIGURES}, output_token_throughput=None, request_goodput=None
    )
    exported = report.to_dict()
    assert {"time_to_first_token", "output_token_throughput", "request_goodput"}.isdisjoint(exported)
    assert "Time To First Token" not in report.to_csv()
    assert report.time_to_second_token is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"output_tokens_from": "chunks"}, "answers: each chunk of text is one"),
        ({"output_tokens_from": "mixed"}, "elsewhere each chunk of text is one"),
        ({"output_tokens_from": ""}, "so nothing is known of them"),
        ({"input_tokens_from": "words"}, "prompts: each word is one"),
        ({}, r"woke up 500 ms \(p99\) late"),
        ({"cut_off": 3}, "3 requests were on their way when it was stopped"),
    ],
)
def test_a_note_says_what_a_reader_must_know(changes, text):
    assert any(text.replace("\\", "") in note for note in dataclasses.replace(REPORT, **changes).notes)


def test_without_a_reason_there_is_no_note():
    quick = dataclasses.replace(FIGURES, p99=0.001)
    assert dataclasses.replace(REPORT, loop_delay=quick).notes == ()
    assert dataclasses.replace(REPORT, loop_delay=None, request_count=0, output_tokens_from="").notes == ()
