"""The inputs of a request: the caller's own put over the backend's, JSON merged into JSON, and none missing."""

from __future__ import annotations

import json

import pytest
from core.replies import signature

from nupic_client._core.generation.backend_inputs import check_filled, with_inputs
from nupic_client.errors import ConfigurationError
from nupic_client.signature import InputTensor

MODEL = signature(("max_tokens", "INT32"), ("sampling_parameters", "BYTES"), ("ids", "INT64", (-1,)))
TEXT = InputTensor("text_input", "BYTES", (1,), ("Hi",))
TOKENS = InputTensor("max_tokens", "INT32", (1,), (5,))
SAMPLING = InputTensor("sampling_parameters", "BYTES", (1,), ('{"temperature": 1, "top_k": 2}',))


def added(tensors, extra, model=MODEL):
    return with_inputs(tensors, model, extra)


def test_without_extra_inputs_nothing_changes():
    assert added([TEXT, TOKENS], {}) == [TEXT, TOKENS]


def test_an_extra_input_is_made_as_the_model_declares_it():
    assert added([TEXT], {"max_tokens": 7}) == [TEXT, InputTensor("max_tokens", "INT32", (1,), (7,))]
    batched = signature(("max_tokens", "INT32"), max_batch_size=4)
    assert added([], {"max_tokens": 7}, batched) == [InputTensor("max_tokens", "INT32", (1, 1), (7,))]


def test_a_list_fills_a_free_dimension():
    assert added([], {"ids": [1, 2, 3]}) == [InputTensor("ids", "INT64", (3,), (1, 2, 3))]


def test_an_extra_input_takes_the_place_of_the_backends():
    assert added([TEXT, TOKENS], {"text_input": "Ho"}) == [
        InputTensor("text_input", "BYTES", (1,), ("Ho",)),
        TOKENS,
    ]


def test_the_inputs_of_the_backend_are_left_alone():
    tensors = [TEXT]
    added(tensors, {"max_tokens": 7})
    assert tensors == [TEXT]


def test_an_input_that_the_model_does_not_have_is_named():
    with pytest.raises(ConfigurationError, match="no input 'max_token'") as caught:
        added([], {"max_token": 7})
    assert "max_tokens" in str(caught.value)


@pytest.mark.parametrize("extra", [{"max_tokens": "seven"}, {"max_tokens": [1, 2]}, {"max_tokens": True}])
def test_a_value_that_does_not_fit_is_an_error_with_the_name_of_the_input(extra):
    with pytest.raises(ConfigurationError, match="'max_tokens'"):
        added([], extra)


# JSON


def sent_json(tensors, value):
    (*_, tensor) = added(tensors, {"sampling_parameters": value})
    return json.loads(tensor.values[0])


def test_a_mapping_is_sent_as_json():
    assert sent_json([TEXT], {"top_k": 3, "nested": {"a": [1, None]}}) == {
        "top_k": 3,
        "nested": {"a": [1, None]},
    }


def test_a_mapping_is_put_over_the_json_of_the_backend():
    assert sent_json([SAMPLING], {"top_k": 3, "min_p": 0.1}) == {"temperature": 1, "top_k": 3, "min_p": 0.1}


def test_a_text_replaces_the_json_of_the_backend():
    (tensor,) = added([SAMPLING], {"sampling_parameters": "{}"})
    assert tensor.values == ("{}",)


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {("a", "b"): 1}, {"a": b"x"}])
def test_what_json_cannot_say_is_an_error_with_the_name_of_the_input(value):
    with pytest.raises(ConfigurationError, match="'sampling_parameters'"):
        added([SAMPLING], {"sampling_parameters": value})


def test_a_mapping_over_what_is_no_json_is_an_error():
    with pytest.raises(ConfigurationError, match="'text_input'"):
        added([TEXT], {"text_input": {"a": 1}})


# None missing


def test_optional_inputs_may_be_missing():
    check_filled([TEXT], MODEL)
    check_filled([TEXT, TOKENS], MODEL)


def test_each_required_input_that_is_missing_is_named():
    model = signature(("a", "INT32", (1,), False), ("b", "INT32", (1,), False), ("c", "INT32"))
    tensor = InputTensor("b", "INT32", (1,), (1,))
    with pytest.raises(ConfigurationError, match="'text_input', 'a'") as caught:
        check_filled([tensor], model)
    assert "'b'" not in str(caught.value)
    assert "'c'" not in str(caught.value)
