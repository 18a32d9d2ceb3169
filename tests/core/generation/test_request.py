"""A generation as it goes over the wire: prompt, options, the caller's own inputs, and what is refused before sending."""

from __future__ import annotations

import warnings

import pytest
from core.replies import signature, wire_request

from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.kserve import wire
from nupic_client.backends.plain import PlainBackend
from nupic_client.errors import (
    ConfigurationError,
)
from nupic_client.registry import ModelSpec


def make_request(prompt="Hi", model=None, **options):
    return GenerationRequest(
        model=model or ModelSpec(name="llm"),
        prompt=prompt,
        options=CallOptions().override(options),
        request_id="r1",
        target="host:8001",
        backend=PlainBackend(),
    )


def inputs(request):
    """Return the inputs of a request as name -> (datatype, shape, raw)."""
    return {
        tensor.name: (tensor.datatype, list(tensor.shape), raw)
        for tensor, raw in zip(request.message.inputs, request.message.raw_input_contents, strict=True)
    }


# Nothing secret


def test_the_repr_of_options_and_drafts_shows_neither_prompt_nor_metadata_nor_inputs():
    made = make_request(
        prompt="my secret prompt",
        metadata={"authorization": "secret"},
        backend_inputs={"text_input": "secret"},
    )
    assert "secret" not in repr(made)
    assert "secret" not in repr(made.options)


# The request


def test_the_request_has_the_prompt_and_asks_for_the_final_mark():
    request = wire_request(make_request("Grüße"), signature())
    assert inputs(request) == {"text_input": ("BYTES", [1], b"\x07\0\0\0" + "Grüße".encode())}
    assert request.message.parameters[wire.EMPTY_FINAL_PARAMETER].bool_param
    assert (request.message.model_name, request.message.id) == ("llm", "r1")


def test_the_models_server_name_version_and_kind_of_text_are_used():
    model = ModelSpec(name="friendly", server_name="llm", version="3", text="cumulative")
    request = wire_request(make_request(model=model), signature())
    assert (request.message.model_name, request.message.model_version) == ("llm", "3")
    assert request.output_names.cumulative is True


def test_the_models_stop_strings_are_added_to_the_calls_once():
    model = ModelSpec(name="llm", stop=("<end>", "b"))
    assert wire_request(make_request(model=model, stop=["a", "b"]), signature()).stops == ("a", "b", "<end>")


def test_an_option_goes_to_the_input_of_its_name():
    request = wire_request(make_request(max_tokens=7), signature(("max_tokens", "INT32")))
    assert inputs(request)["max_tokens"] == ("INT32", [1], b"\x07\0\0\0")


def test_stop_needs_no_input():
    assert wire_request(make_request(stop="x"), signature()).stops == ("x",)


def test_an_option_without_an_input_is_an_error_that_names_what_there_is():
    with pytest.raises(ConfigurationError, match=r"no input for top_p; it takes max_tokens \(and stop"):
        wire_request(make_request(top_p=0.5), signature(("max_tokens", "INT32")))


def test_a_model_without_any_option_says_so():
    with pytest.raises(ConfigurationError, match="it takes no options"):
        wire_request(make_request(top_p=0.5), signature())


def test_an_option_without_an_input_may_be_a_warning():
    made = make_request(top_p=0.5, unsupported="warn")
    with pytest.warns(UserWarning, match="no input for top_p"):
        request = wire_request(made, signature())
    assert list(inputs(request)) == ["text_input"]


def test_where_all_options_have_inputs_nothing_is_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wire_request(make_request(max_tokens=1, unsupported="warn"), signature(("max_tokens", "INT32")))


def test_backend_inputs_are_sent_as_the_model_declares_them():
    request = wire_request(
        make_request(backend_inputs={"seed": 5, "bias": [0.5, 1.0]}),
        signature(("seed", "UINT64"), ("bias", "FP32", (-1,)), max_batch_size=4),
    )
    assert inputs(request)["seed"] == ("UINT64", [1, 1], (5).to_bytes(8, "little"))
    assert inputs(request)["bias"] == ("FP32", [1, 2], b"\0\0\0\x3f\0\0\x80\x3f")


def test_backend_inputs_win_over_options():
    request = wire_request(
        make_request(max_tokens=7, backend_inputs={"max_tokens": 9}), signature(("max_tokens", "INT32"))
    )
    assert inputs(request)["max_tokens"][2] == b"\x09\0\0\0"


def test_an_unknown_backend_input_is_an_error_that_names_the_inputs():
    with pytest.raises(
        ConfigurationError,
        match=r"no input 'sede': did you mean 'seed'\? the inputs are 'text_input', 'seed'",
    ):
        wire_request(make_request(backend_inputs={"sede": 5}), signature(("seed", "UINT64")))


def test_a_required_input_that_nothing_fills_is_an_error():
    with pytest.raises(ConfigurationError, match="requires the input 'max_tokens'"):
        wire_request(make_request(), signature(("max_tokens", "INT32", (1,), False)))


def test_a_required_input_may_be_filled_by_an_option_or_a_backend_input():
    takes = signature(("max_tokens", "INT32", (1,), False), ("mode", "BYTES", (1,), False))
    request = wire_request(make_request(max_tokens=1, backend_inputs={"mode": "x"}), takes)
    assert set(inputs(request)) == {"text_input", "max_tokens", "mode"}


@pytest.mark.parametrize(
    ("datatype", "options"),
    [
        ("INT32", {"backend_inputs": {"seed": 2**40}}),
        ("INT32", {"seed": 2**64 - 1}),
        ("UINT64", {"backend_inputs": {"seed": -1}}),
        ("FP32", {"backend_inputs": {"seed": 1e300}}),
        ("FP32", {"backend_inputs": {"seed": 10**400}}),
        ("BYTES", {"backend_inputs": {"seed": "\ud800"}}),
    ],
)
def test_a_value_that_does_not_fit_its_input_is_an_error_before_sending(datatype, options):
    with pytest.raises(ConfigurationError, match="model 'llm': input 'seed'"):
        wire_request(make_request(**options), signature(("seed", datatype)))


def test_a_prompt_that_is_no_unicode_is_an_error_before_sending_and_not_shown():
    with pytest.raises(ConfigurationError, match=r"input 'text_input'.*surrogates") as caught:
        wire_request(make_request("my secret \ud800"), signature())
    assert "secret" not in str(caught.value)
