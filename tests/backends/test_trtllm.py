from __future__ import annotations

import pytest
from backends.signatures import BLS, BLS_ACCUMULATING, ENSEMBLE, changed, sent, specs, without

from nupic_client import SamplingParams
from nupic_client.backends import DEFAULT_MAX_TOKENS, OutputNames, TrtllmBackend
from nupic_client.errors import ConfigurationError

BACKEND = TrtllmBackend()
OPTIONS = [
    ("max_tokens", 5, ("INT32", (1, 1), (5,))),
    ("temperature", 0.5, ("FP32", (1, 1), (0.5,))),
    ("top_p", 0.25, ("FP32", (1, 1), (0.25,))),
    ("top_k", 40, ("INT32", (1, 1), (40,))),
    ("seed", 2**64 - 1, ("UINT64", (1, 1), (2**64 - 1,))),
    ("repetition_penalty", 1.5, ("FP32", (1, 1), (1.5,))),
    ("presence_penalty", -1, ("FP32", (1, 1), (-1.0,))),
    ("frequency_penalty", 2, ("FP32", (1, 1), (2.0,))),
]


def inputs(signature=ENSEMBLE, *, stream=True, logprobs=None, **options):
    return sent(BACKEND, signature, stream=stream, logprobs=logprobs, sampling=SamplingParams(**options))


def test_what_is_sent_without_any_option():
    assert inputs() == {
        "text_input": ("BYTES", (1, 1), ("Hi",)),
        "stream": ("BOOL", (1, 1), (True,)),
        "exclude_input_in_output": ("BOOL", (1, 1), (True,)),
        "max_tokens": ("INT32", (1, 1), (DEFAULT_MAX_TOKENS,)),
        "return_num_input_tokens": ("BOOL", (1, 1), (True,)),
        "return_num_output_tokens": ("BOOL", (1, 1), (True,)),
    }


@pytest.mark.parametrize("signature", [ENSEMBLE, BLS], ids=lambda signature: signature.name)
@pytest.mark.parametrize(("option", "value", "tensor"), OPTIONS)
def test_an_option_is_an_input(signature, option, value, tensor):
    assert BACKEND.supports(option, signature)
    assert inputs(signature, **{option: value})[option] == tensor


def test_without_a_batch_dimension_shapes_have_one_dimension():
    flat = changed(ENSEMBLE, max_batch_size=0)
    assert inputs(flat, top_k=4)["top_k"] == ("INT32", (1,), (4,))
    assert inputs(flat, stop=["a", "b"])["stop_words"] == ("BYTES", (2,), ("a", "b"))


def test_stop_strings_are_a_list():
    assert inputs(stop=["a", "b", "c"])["stop_words"] == ("BYTES", (1, 3), ("a", "b", "c"))


def test_min_p_has_no_input():
    assert not BACKEND.supports("min_p", ENSEMBLE)
    assert "min_p" not in inputs(min_p=0.5)


def test_older_releases_call_the_seed_otherwise():
    old = without(ENSEMBLE, "seed")
    old = changed(old, inputs={**old.inputs, **specs("random_seed UINT64")})
    assert BACKEND.supports("seed", old)
    assert inputs(old, seed=7)["random_seed"] == ("UINT64", (1, 1), (7,))
    assert "seed" not in inputs(old, seed=7)


def test_types_that_drift_are_taken_from_the_model():
    drifted = changed(ENSEMBLE, inputs={**ENSEMBLE.inputs, **specs("max_tokens! UINT32\nseed INT64")})
    assert inputs(drifted, seed=7)["seed"][0] == "INT64"
    assert inputs(drifted)["max_tokens"][0] == "UINT32"


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_that_is_not_decoupled_is_never_asked_to_stream(stream):
    assert inputs(changed(ENSEMBLE, decoupled=False), stream=stream)["stream"][2] == (False,)


def test_a_model_that_is_not_decoupled_is_refused_with_what_to_do():
    assert "decoupled_mode:true" in BACKEND.refuse_streaming(changed(ENSEMBLE, decoupled=False))


@pytest.mark.parametrize(
    ("signature", "cumulative"),
    [
        (ENSEMBLE, False),
        (BLS, False),
        (BLS_ACCUMULATING, True),
        (changed(BLS, parameters={"accumulate_tokens": "1"}), True),
        (changed(BLS, parameters={"accumulate_tokens": "${accumulate_tokens}"}), False),
    ],
)
def test_accumulated_tokens_make_the_text_cumulative(signature, cumulative):
    assert BACKEND.output_names(signature, cumulative=None).cumulative is cumulative


def test_what_is_known_about_the_model_wins():
    assert BACKEND.output_names(BLS_ACCUMULATING, cumulative=False).cumulative is False
    assert BACKEND.output_names(BLS, cumulative=True).cumulative is True


def test_a_whole_answer_is_not_cumulative():
    assert BACKEND.output_names(BLS_ACCUMULATING, cumulative=None, stream=False).cumulative is False


def test_the_layout_has_what_was_asked_for():
    assert BACKEND.output_names(ENSEMBLE, cumulative=None, logprobs=0) == OutputNames(
        cumulative=False,
        input_tokens="num_input_tokens",
        output_tokens="num_output_tokens",
        logprobs="output_log_probs",
    )
    assert BACKEND.output_names(ENSEMBLE, cumulative=None).logprobs is None


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0.5}])
def test_log_probabilities_are_asked_for_on_demand(options):
    assert "return_log_probs" not in inputs(**options)
    assert inputs(logprobs=0, **options)["return_log_probs"] == ("BOOL", (1, 1), (True,))


def test_log_probabilities_need_top_k_or_top_p():
    with pytest.raises(ConfigurationError, match="top_k=1"):
        inputs(logprobs=0)


def test_the_likeliest_tokens_are_not_to_be_had():
    with pytest.raises(ConfigurationError, match="use logprobs=True"):
        inputs(logprobs=3, top_k=1)


def test_a_deployment_without_the_switches_is_served():
    bare = without(
        ENSEMBLE, "stream", "exclude_input_in_output", "return_num_input_tokens", "return_num_output_tokens"
    )
    assert set(inputs(bare)) == {"text_input", "max_tokens"}
    assert BACKEND.output_names(bare, cumulative=None, stream=False) == OutputNames(
        cumulative=False, echo=True
    )
