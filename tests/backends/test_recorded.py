"""What real servers declare, as recorded: which backend it is and which tensors a request has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from backends.signatures import sent
from google.protobuf.json_format import ParseDict

from nupic_client import ConfigurationError, SamplingParams
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import signature_from_config
from nupic_client.backends import TrtllmEngineBackend, detect

FOLDER = Path(__file__).parents[1] / "triton" / "signatures"
BACKENDS = {
    "vllm_model": "vllm",
    "ensemble": "trtllm",
    "tensorrt_llm_bls": "trtllm",
    "tensorrt_llm_bls_accumulate": "trtllm",
    "tensorrt_llm": "trtllm_engine",
    "llmapi": "trtllm_llmapi",
    "llmapi_once": "trtllm_llmapi",
    "gpt": "plain",
    "gpt.streaming": "plain",
}
NO_TEXT = ("sbert", "preprocessing", "postprocessing")
"""Models that are no language models; ``bert-classifier`` takes token ids but is no engine either."""


def recorded(name):
    """Return the signature of a model as its server states it."""
    answer = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["ModelConfig"]
    return signature_from_config(ParseDict(answer, wire.pb.ModelConfigResponse()).config)


def request(name, sampling=None, **options):
    """Return the tensors of a request to a model of the backend that is detected."""
    signature = recorded(name)
    return sent(detect(signature), signature, sampling=sampling or SamplingParams(), **options)


def test_every_record_is_tested():
    assert {path.stem for path in FOLDER.glob("*.json")} == {*BACKENDS, *NO_TEXT, "bert-classifier"}


@pytest.mark.parametrize("name", BACKENDS)
def test_the_backend_is_detected(name):
    assert detect(recorded(name)).name == BACKENDS[name]


@pytest.mark.parametrize("name", [*NO_TEXT, "bert-classifier"])
def test_other_models_are_no_language_models(name):
    with pytest.raises(ConfigurationError, match="it is not known how model"):
        detect(recorded(name))


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "tensorrt_llm"])
def test_only_declared_inputs_are_sent_as_they_are_declared(name):
    signature = recorded(name)
    options = SamplingParams(
        max_tokens=3, temperature=0.5, top_p=0.9, top_k=4, seed=2**64 - 1, stop=("a", "b")
    )
    batch = (1,) if signature.max_batch_size else ()
    tensors = request(name, options)
    for tensor, (datatype, shape, values) in tensors.items():
        declared = signature.inputs[tensor]
        assert datatype == declared.datatype
        assert shape == (*batch, *(len(values) if size == -1 else size for size in declared.shape))
    required = {spec.name for spec in signature.inputs.values() if not spec.optional}
    assert required <= tensors.keys()


@pytest.mark.parametrize(("name", "switch"), [("ensemble", "stream"), ("tensorrt_llm_bls", "stream")])
def test_trtllm(name, switch):
    tensors = request(name, SamplingParams(stop=("a", "b")))
    assert tensors["text_input"] == ("BYTES", (1, 1), ("Hi",))
    assert tensors["max_tokens"] == ("INT32", (1, 1), (1024,))
    assert tensors["stop_words"] == ("BYTES", (1, 2), ("a", "b"))
    assert tensors[switch] == ("BOOL", (1, 1), (True,))


def test_vllm():
    tensors = request("vllm_model", SamplingParams(temperature=0.5))
    assert json.loads(tensors["sampling_parameters"][2][0]) == {"max_tokens": 1024, "temperature": 0.5}
    assert tensors["stream"] == ("BOOL", (1,), (True,))
    assert tensors["return_num_output_tokens"] == ("BOOL", (1,), (True,))


def test_the_llm_api():
    tensors = request("llmapi", SamplingParams(seed=5))
    assert tensors["sampling_param_seed"] == ("UINT64", (1,), (5,))
    assert tensors["streaming"] == ("BOOL", (1,), (True,))
    assert detect(recorded("llmapi_once")).refuse_streaming(recorded("llmapi_once"))


def test_whether_a_bls_accumulates_is_read_from_its_parameters():
    for name, cumulative in (("tensorrt_llm_bls", False), ("tensorrt_llm_bls_accumulate", True)):
        signature = recorded(name)
        assert detect(signature).output_names(signature, cumulative=None).cumulative is cumulative


class Letters:
    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


def test_the_engine():
    signature = recorded("tensorrt_llm")
    tensors = sent(TrtllmEngineBackend(Letters()), signature, sampling=SamplingParams(top_k=4))
    assert tensors["input_ids"] == ("INT32", (1, 2), (72, 105))
    assert tensors["input_lengths"] == ("INT32", (1, 1), (2,))
    assert tensors["runtime_top_k"] == ("INT32", (1, 1), (4,))
    with pytest.raises(ConfigurationError, match="token ids, not text"):
        request("tensorrt_llm")
