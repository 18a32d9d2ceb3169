from __future__ import annotations

import pickle

import pytest

from nupic_client.results import Finished, FinishReason, Generation, Latency, TextDelta, Timing, Usage


def generation(**changes):
    values = {
        "text": "a secret answer",
        "finish_reason": FinishReason.STOP,
        "usage": Usage(input_tokens=3, output_tokens=4),
        "timing": Timing(total=1.0),
        "model": "llm",
        "request_id": "r1",
    }
    return Generation(**(values | changes))


def test_the_string_of_a_generation_is_its_text():
    assert str(generation()) == "a secret answer"


def test_the_repr_of_a_generation_does_not_show_its_text():
    assert "secret" not in repr(generation())
    assert "secret" not in repr(Finished(generation()))


def test_a_finish_reason_is_a_string():
    assert FinishReason.STOP == "stop"
    assert f"{FinishReason.LENGTH}" == "length"


@pytest.mark.parametrize(
    ("given", "taken", "total"), [(3, 4, 7), (0, 0, 0), (None, 4, None), (3, None, None), (None, None, None)]
)
def test_the_total_is_known_where_both_counts_are(given, taken, total):
    assert Usage(input_tokens=given, output_tokens=taken).total_tokens == total


@pytest.mark.parametrize(
    "value", [generation(), TextDelta("a"), Finished(generation()), Usage(), Latency(mean=1, p50=1, p99=1)]
)
def test_values_can_be_pickled_and_compared(value):
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "name"), [(generation(), "text"), (Usage(), "input_tokens"), (Timing(total=1.0), "total")]
)
def test_values_are_immutable(value, name):
    with pytest.raises(AttributeError):
        setattr(value, name, 5)
