"""What is measured of a request becomes genai-perf's metrics by genai-perf's definitions."""

from __future__ import annotations

import pytest

from nupic_client import DeadlineExceededError, InferenceError
from nupic_client.bench.metrics import METRICS, Measurement, Recorder


def measurement(**changes):
    facts = {
        "start": 10.0,
        "first": 10.5,
        "second": 10.6,
        "last": 11.5,
        "chunks": 5,
        "output_tokens": None,
        "input_tokens": None,
        "words": 7,
    }
    return Measurement(**{**facts, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            {
                "time_to_first_token": 0.5,
                "time_to_second_token": 0.1,
                "request_latency": 1.5,
                "inter_token_latency": 0.25,
                "output_token_throughput_per_user": 4.0,
                "output_sequence_length": 5,
                "input_sequence_length": 7,
            },
        ),
        (
            {"output_tokens": 11, "input_tokens": 9},
            {
                "time_to_first_token": 0.5,
                "time_to_second_token": 0.1,
                "request_latency": 1.5,
                "inter_token_latency": 0.1,
                "output_token_throughput_per_user": 10.0,
                "output_sequence_length": 11,
                "input_sequence_length": 9,
            },
        ),
        (
            {"second": None, "last": 10.5, "chunks": 1, "output_tokens": 3},
            {
                "time_to_first_token": 0.5,
                "request_latency": 0.5,
                "output_sequence_length": 3,
                "input_sequence_length": 7,
            },
        ),
        (
            {"first": None, "second": None, "chunks": 0},
            {"request_latency": 1.5, "input_sequence_length": 7},
        ),
        (
            {"first": None, "second": None, "chunks": 0, "output_tokens": 4},
            {"request_latency": 1.5, "output_sequence_length": 4, "input_sequence_length": 7},
        ),
    ],
    ids=["chunks", "tokens", "one chunk", "not streamed", "not streamed, counted"],
)
def test_the_metrics_of_a_request(changes, expected):
    found = dict(measurement(**changes).values())
    assert found == pytest.approx(expected)
    assert set(found) <= {metric.name for metric in METRICS}


def test_the_duration_is_from_the_first_request_to_the_last_answer():
    recorder = Recorder()
    assert recorder.duration == 0.0
    recorder.add(measurement(start=20.0, first=20.5, second=20.6, last=21.0))
    recorder.add(measurement())
    assert recorder.duration == 11.0


@pytest.mark.parametrize(
    ("goodput", "good"),
    [
        ({}, 2),
        ({"time_to_first_token": 0.5}, 2),
        ({"time_to_first_token": 0.49}, 0),
        ({"inter_token_latency": 0.2}, 1),
        ({"output_token_throughput_per_user": 5.0}, 1),
        ({"time_to_first_token": 0.5, "output_token_throughput_per_user": 11.0}, 0),
    ],
)
def test_a_good_request_keeps_to_everything(goodput, good):
    recorder = Recorder(goodput)
    recorder.add(measurement())
    recorder.add(measurement(output_tokens=11))
    assert recorder.good == good


def test_a_request_without_the_metric_is_not_good():
    recorder = Recorder({"time_to_first_token": 9.0})
    recorder.add(measurement(first=None, second=None, chunks=0))
    assert recorder.good == 0


def test_failures_are_counted_by_their_kind():
    recorder = Recorder()
    for error in (InferenceError("one"), InferenceError("two"), DeadlineExceededError("three")):
        recorder.fail(error)
    assert recorder.failed == 3
    assert recorder.errors.most_common() == [("InferenceError", 2), ("DeadlineExceededError", 1)]
    assert recorder.messages["InferenceError"] == "one"


def test_who_counted_the_tokens_is_kept():
    recorder = Recorder()
    recorder.add(measurement())
    recorder.add(measurement(output_tokens=3))
    recorder.add(measurement(chunks=0, first=None, second=None, input_tokens=3))
    assert recorder.counted_output == {"chunks": 1, "server": 1}
    assert recorder.counted_input == {"words": 2, "server": 1}
