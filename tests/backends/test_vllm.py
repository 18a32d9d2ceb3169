from __future__ import annotations

import json

import pytest
from backends.signatures import VLLM, changed, sent, without

from nupic_client import SamplingParams
from nupic_client.backends import DEFAULT_MAX_TOKENS, OutputNames, VllmBackend
from nupic_client.sampling import OPTION_NAMES

BACKEND = VllmBackend()
VALUES = {
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.25,
    "top_k": 40,
    "min_p": 0.125,
    "stop": ["a", "b"],
    "seed": 2**63,
    "repetition_penalty": 1.5,
    "presence_penalty": -1.0,
    "frequency_penalty": 2.0,
}


def inputs(signature=VLLM, *, stream=True, logprobs=None, **options):
    return sent(BACKEND, signature, stream=stream, logprobs=logprobs, sampling=SamplingParams(**options))


def fields(signature=VLLM, **options):
    datatype, shape, (text,) = inputs(signature, **options)["sampling_parameters"]
    assert (datatype, shape) == ("BYTES", (1,))
    return json.loads(text)


def test_what_is_sent_without_any_option():
    assert inputs() == {
        "text_input": ("BYTES", (1,), ("Hi",)),
        "stream": ("BOOL", (1,), (True,)),
        "exclude_input_in_output": ("BOOL", (1,), (True,)),
        "sampling_parameters": ("BYTES", (1,), (json.dumps({"max_tokens": DEFAULT_MAX_TOKENS}),)),
        "return_finish_reason": ("BOOL", (1,), (True,)),
        "return_num_input_tokens": ("BOOL", (1,), (True,)),
        "return_num_output_tokens": ("BOOL", (1,), (True,)),
    }


def test_the_table_of_this_test_has_every_option():
    assert set(VALUES) == set(OPTION_NAMES)


@pytest.mark.parametrize("option", OPTION_NAMES)
def test_an_option_is_a_field_of_the_json_and_the_others_are_not(option):
    assert BACKEND.supports(option, VLLM)
    expected = {"max_tokens": DEFAULT_MAX_TOKENS} | {option: VALUES[option]}
    assert fields(**{option: VALUES[option]}) == expected


def test_switching_top_k_off_is_spelled_as_every_release_takes_it():
    assert fields(top_k=0)["top_k"] == -1


def test_a_whole_answer_may_be_asked_for():
    assert inputs(stream=False)["stream"] == ("BOOL", (1,), (False,))
    assert inputs(stream=False)["exclude_input_in_output"][2] == (True,)


@pytest.mark.parametrize(("asked", "told"), [(0, 1), (1, 1), (5, 5)])
def test_log_probabilities_are_asked_for_on_demand(asked, told):
    assert "return_logprobs" not in inputs()
    assert inputs(logprobs=asked)["return_logprobs"] == ("BOOL", (1,), (True,))
    assert fields(logprobs=asked)["logprobs"] == told


def test_older_releases_without_additional_outputs_are_served():
    old = without(
        VLLM, "return_finish_reason", "return_num_input_tokens", "return_num_output_tokens", "return_logprobs"
    )
    assert set(inputs(old)) == {"text_input", "stream", "sampling_parameters", "exclude_input_in_output"}
    assert BACKEND.output_names(old, cumulative=None) == OutputNames(cumulative=False)
    assert not BACKEND.supports("logprobs", old)


def test_a_model_without_the_json_takes_no_options():
    bare = without(VLLM, "sampling_parameters")
    assert "sampling_parameters" not in inputs(bare, temperature=0.5)
    assert not BACKEND.supports("temperature", bare)


def test_a_batch_dimension_is_put_in_front_where_there_is_one():
    assert inputs(changed(VLLM, max_batch_size=2))["stream"] == ("BOOL", (1, 1), (True,))


def test_the_layout_has_what_was_asked_for():
    assert BACKEND.output_names(VLLM, cumulative=None) == OutputNames(
        text="text_output",
        cumulative=False,
        finish_reason="finish_reason",
        input_tokens="num_input_tokens",
        output_tokens="num_output_tokens",
    )
    assert BACKEND.output_names(VLLM, cumulative=None, logprobs=0).logprobs == "logprobs"


@pytest.mark.parametrize(
    ("signature", "stream", "echo"),
    [
        (VLLM, True, False),
        (VLLM, False, False),
        (without(VLLM, "exclude_input_in_output"), True, False),
        (without(VLLM, "exclude_input_in_output"), False, True),
    ],
)
def test_only_a_whole_answer_that_cannot_be_told_otherwise_may_repeat_the_prompt(signature, stream, echo):
    assert BACKEND.output_names(signature, cumulative=None, stream=stream).echo is echo


def test_a_model_that_is_not_decoupled_is_refused():
    assert "decoupled" in BACKEND.refuse_streaming(changed(VLLM, decoupled=False))
    assert inputs(changed(VLLM, decoupled=False))["stream"][2] == (False,)
