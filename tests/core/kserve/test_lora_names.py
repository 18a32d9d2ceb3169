"""The names in vLLM's text about a LoRA adapter that it does not have, whole or broken."""

from __future__ import annotations

import re

import pytest

from nupic_client._core.kserve.error_messages import stream_error
from nupic_client._core.kserve.lora_names import PATTERN, advice
from nupic_client.errors import RequestRejectedError

HAS = "LoRA {} is not supported, we currently support {}"


@pytest.mark.parametrize(
    ("asked", "names", "said"),
    [
        ("aplaca", ["alpaca", "sql"], "did you mean 'alpaca'? the server has 'alpaca', 'sql'"),
        ("zzz", ["alpaca"], "the server has 'alpaca'"),
        ("two words", ["two-words"], "did you mean 'two-words'? the server has 'two-words'"),
        ("x", [], "the server has none"),
        ("it", ["it's"], 'did you mean "it\'s"? the server has "it\'s"'),
        ("a, ['b'", ["c"], "the server has 'c'"),
        ("é", ["è"], "the server has 'è'"),
    ],
)
def test_the_names_of_the_server_are_read(asked, names, said):
    text = HAS.format(asked, names)
    assert re.search(PATTERN, text)
    assert advice(text) == said


def test_many_names_are_not_all_listed():
    said = advice(HAS.format("adapter-1x", [f"adapter-{number}" for number in range(100)]))
    assert said.startswith("did you mean 'adapter-1")
    assert said.endswith(" and 80 more")


@pytest.mark.parametrize(
    "rest", ["", "[", "['", "['a", "['a', \"", "[[['a']]]", "[1, None]", "[" + "'a', " * 5000]
)
def test_a_broken_list_does_no_harm(rest):
    error = stream_error(HAS.format("b", rest) if rest.startswith("[") else HAS.format("b", "[" + rest))
    assert isinstance(error, RequestRejectedError)
    assert error.message.startswith("the server has no LoRA adapter of this name: ")


@pytest.mark.parametrize(
    "wrapped",
    [
        "Error generating stream: {}",
        "[request id: 1] {}",
        "in ensemble 'chat', {}",
        "Failed to process the request(s) for model 'm', message: TritonModelException: {}",
    ],
)
def test_the_suggestion_survives_what_is_put_around_the_text(wrapped):
    error = stream_error(wrapped.format(HAS.format("aplaca", ["alpaca"])))
    assert "did you mean 'alpaca'?" in error.message
    assert (error.status, error.retryable) == ("INVALID_ARGUMENT", False)
    assert type(error) is RequestRejectedError
