from __future__ import annotations

import pytest
from backends.signatures import LLMAPI, changed, sent, specs, without

from nupic_client import SamplingParams
from nupic_client.backends import DEFAULT_MAX_TOKENS, OutputNames, TrtllmLlmapiBackend

BACKEND = TrtllmLlmapiBackend()


def inputs(signature=LLMAPI, *, stream=True, **options):
    return sent(BACKEND, signature, stream=stream, sampling=SamplingParams(**options))


def test_what_is_sent_without_any_option():
    assert inputs() == {
        "text_input": ("BYTES", (1,), ("Hi",)),
        "streaming": ("BOOL", (1,), (True,)),
        "sampling_param_exclude_input_from_output": ("BOOL", (1,), (True,)),
        "sampling_param_max_tokens": ("INT32", (1,), (DEFAULT_MAX_TOKENS,)),
        "return_finish_reason": ("BOOL", (1,), (True,)),
    }


@pytest.mark.parametrize(
    ("option", "value", "tensor"),
    [
        ("max_tokens", 5, ("INT32", (1,), (5,))),
        ("temperature", 0.5, ("FP32", (1,), (0.5,))),
        ("top_p", 0.25, ("FP32", (1,), (0.25,))),
        ("top_k", 40, ("INT32", (1,), (40,))),
        ("stop", ["a", "b"], ("BYTES", (2,), ("a", "b"))),
        ("seed", 2**64 - 1, ("UINT64", (1,), (2**64 - 1,))),
        ("presence_penalty", 1, ("FP32", (1,), (1.0,))),
        ("frequency_penalty", 2, ("FP32", (1,), (2.0,))),
    ],
)
def test_an_option_is_an_input_with_a_prefix(option, value, tensor):
    assert BACKEND.supports(option, LLMAPI)
    assert inputs(**{option: value})[f"sampling_param_{option}"] == tensor


@pytest.mark.parametrize("option", ["min_p", "repetition_penalty", "logprobs"])
def test_some_options_have_no_input(option):
    assert not BACKEND.supports(option, LLMAPI)


def test_the_input_that_cancels_is_never_taken_for_stop_strings():
    assert "stop" not in inputs(stop="x")


def test_every_response_holds_the_whole_text_so_far():
    assert BACKEND.output_names(LLMAPI, cumulative=None) == OutputNames(
        cumulative=True, finish_reason="finish_reason"
    )
    assert BACKEND.output_names(LLMAPI, cumulative=None, stream=False).cumulative is False
    assert BACKEND.output_names(LLMAPI, cumulative=False).cumulative is False


def test_the_shipped_default_is_refused_with_what_to_do():
    shipped = changed(LLMAPI, decoupled=False)
    assert "`decoupled: True`" in BACKEND.refuse_streaming(shipped)
    assert inputs(shipped)["streaming"][2] == (False,)


def test_an_older_release_without_the_finish_reason_is_served():
    old = without(LLMAPI, "return_finish_reason", "finish_reason")
    assert BACKEND.output_names(old, cumulative=None) == OutputNames(cumulative=True)


def test_a_stop_input_with_too_little_room_is_left_to_the_client():
    narrow = changed(LLMAPI, inputs={**LLMAPI.inputs, **specs("sampling_param_stop BYTES [1]")})
    assert inputs(narrow, stop="a")["sampling_param_stop"][2] == ("a",)
    assert "sampling_param_stop" not in inputs(narrow, stop=["a", "b"])
