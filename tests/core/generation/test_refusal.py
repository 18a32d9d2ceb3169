"""The names of the sampling parameters in a refusal that names none."""

from __future__ import annotations

import json

import pytest

from nupic_client._core.generation.refusal import with_sent_parameters
from nupic_client._core.kserve.error_messages import stream_error
from nupic_client._core.kserve.wire import build_infer_request
from nupic_client.signature import InputTensor

REFUSED = "Error generating stream: 'NoneType' object has no attribute 'lora_name'"


def request(parameters):
    tensors = [InputTensor("text_input", "BYTES", (1,), ("hi",))]
    if parameters is not None:
        tensors.append(InputTensor("sampling_parameters", "BYTES", (1,), (parameters,)))
    return build_infer_request("vllm", tensors)


def test_the_parameters_that_were_sent_are_named():
    """vllm.md: any wrong sampling parameter is answered with the same text, which names none."""
    sent = request(json.dumps({"max_tokens": 0, "best_of": 3}))
    error = with_sent_parameters(stream_error(REFUSED), sent)
    assert error.message == (
        "vLLM refused sampling_parameters (its log says which), it was sent 'best_of', 'max_tokens': "
        + REFUSED
    )
    assert error.server_message == REFUSED
    assert not error.retryable


@pytest.mark.parametrize("parameters", [None, "no json", "5", "{}"])
def test_without_names_it_stays_as_it_is(parameters):
    error = stream_error(REFUSED)
    assert with_sent_parameters(error, request(parameters)) is error


def test_other_errors_stay_as_they_are():
    error = stream_error("LoRA feature is not enabled.")
    assert with_sent_parameters(error, request('{"n": 1}')) is error
