"""A LoRA adapter and special tokens: what is put over the inputs of the backend, and what of the caller's undoes it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from backends.signatures import ENGINE, ENSEMBLE, LLMAPI, PLAIN, VLLM, changed, specs, without
from core.replies import generation_request

from nupic_client import InferInput, Lora
from nupic_client._core.generation.asked_inputs import extra_inputs
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client._core.kserve.codec import decode_bytes_tensor, decode_numbers
from nupic_client.backends import (
    DynamoBackend,
    TrtllmBackend,
    TrtllmEngineBackend,
    TrtllmLlmapiBackend,
    VllmBackend,
    detect,
)
from nupic_client.errors import ConfigurationError
from nupic_client.testing import dynamo_signature

KEPT = {"skip_special_tokens": False, "spaces_between_special_tokens": False}
TASKS = specs("lora_task_id UINT64\nlora_weights FP16 [-1,-1]\nlora_config INT32 [-1,3]")
WITH_TASKS = changed(ENSEMBLE, inputs={**ENSEMBLE.inputs, **TASKS})
ADAPTERS = specs("lora_id UINT64\nlora_name BYTES\nlora_path BYTES\nlora_ckpt_source BYTES")
WITH_ADAPTERS = changed(LLMAPI, inputs={**LLMAPI.inputs, **ADAPTERS})


def sent(signature, *, keep=False, cache=None, backend=None, **options):
    """Return the inputs of a request as they are on the wire: texts and numbers by name."""
    request = replace(
        generation_request(signature.name, "Hi", **options), keep_special_tokens=keep, backend=backend
    )
    message = (cache or RequestCache()).wire_request(request, signature).message
    names = [tensor.name for tensor in message.inputs]
    assert len(names) == len(set(names)) == len(message.raw_input_contents)
    return {
        tensor.name: decode_bytes_tensor(raw)
        if tensor.datatype == "BYTES"
        else [*decode_numbers(tensor.datatype, raw)]
        if tensor.datatype != "BOOL"
        else raw == b"\1"
        for tensor, raw in zip(message.inputs, message.raw_input_contents, strict=True)
    }


def fields(signature=VLLM, **options):
    return json.loads(sent(signature, **options)["sampling_parameters"][0])


def test_vllm_gets_the_name_among_the_sampling_parameters():
    assert fields(lora="sql") == {"max_tokens": 1024, "lora_name": "sql"}
    assert fields(lora=Lora("sql", id=3, path="/x"), temperature=0)["lora_name"] == "sql"
    assert "lora_name" not in fields()
    assert fields(lora='a"b\\é')["lora_name"] == 'a"b\\é'


def test_the_callers_own_fields_are_the_last_word():
    own = {"sampling_parameters": {"lora_name": "mine", "skip_special_tokens": True, "min_tokens": 2}}
    assert fields(lora="sql", keep=True, backend_inputs=own) == {
        "max_tokens": 1024,
        "lora_name": "mine",
        **KEPT,
        "skip_special_tokens": True,
        "min_tokens": 2,
    }
    both = fields(lora="sql", keep=True, backend_inputs={"sampling_parameters": {"min_tokens": 2}})
    assert both == {"max_tokens": 1024, "lora_name": "sql", **KEPT, "min_tokens": 2}


@pytest.mark.parametrize(
    "text", ['{"min_tokens": 2}', b"{}", InferInput('{"a": 1}'), np.array(["{}"], object)]
)
def test_a_text_that_would_replace_the_json_is_refused(text):
    own = {"sampling_parameters": text}
    assert sent(VLLM, backend_inputs=own)
    for asked in ({"lora": "sql"}, {"keep": True}):
        with pytest.raises(
            ConfigurationError, match="must be a mapping, which is merged into what"
        ) as caught:
            sent(VLLM, backend_inputs=own, **asked)
        assert caught.value.parameter == "backend_inputs"


def test_trtllm_gets_the_number():
    assert sent(WITH_TASKS, lora=7)["lora_task_id"] == [7]
    assert sent(WITH_TASKS, lora=Lora("sql", id=2**64 - 1))["lora_task_id"] == [2**64 - 1]
    weights = {"lora_config": [[0, 0, 8]]}
    assert sent(WITH_TASKS, lora=7, backend_inputs=weights)["lora_config"] == [0, 0, 8]
    engine = changed(ENGINE, inputs={**ENGINE.inputs, **TASKS})
    assert sent(engine, lora=7, backend=TrtllmEngineBackend(Letters()))["lora_task_id"] == [7]


class Letters:
    def encode(self, text):
        return [*text.encode()]

    def decode(self, ids):
        return bytes(ids).decode()


def test_the_llm_api_gets_all_of_it():
    made = sent(WITH_ADAPTERS, lora=Lora("sql", id=7, path="/adapters/sql"))
    assert (made["lora_name"], made["lora_id"], made["lora_path"]) == ([b"sql"], [7], [b"/adapters/sql"])
    assert "lora_ckpt_source" not in made
    nemo = sent(WITH_ADAPTERS, lora=Lora("sql", id=7, path="/adapters/sql", source="nemo"))
    assert nemo["lora_ckpt_source"] == [b"nemo"]
    older = without(WITH_ADAPTERS, "lora_ckpt_source")
    assert "lora_ckpt_source" not in sent(older, lora=Lora("sql", id=7, path="/x", source="nemo"))


@pytest.mark.parametrize(
    ("signature", "lora", "words"),
    [
        (VLLM, 7, r"must have the name of the adapter for model 'vllm_model', not Lora\(name=None, id=7"),
        (WITH_TASKS, "sql", r"must have the id of the adapter for model 'ensemble'.*give Lora\(id=…\)"),
        (WITH_ADAPTERS, "sql", r"must have name, id and path .*give Lora\(name=…, id=…, path=…\)"),
        (WITH_ADAPTERS, Lora("sql", id=7), "must have name, id and path"),
    ],
)
def test_an_adapter_that_lacks_a_fact_is_refused(signature, lora, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        sent(signature, lora=lora)
    assert caught.value.parameter == "lora"


@pytest.mark.parametrize(
    "signature",
    [PLAIN, ENSEMBLE, LLMAPI, without(VLLM, "sampling_parameters"), dynamo_signature("llama")],
    ids=lambda signature: signature.name,
)
def test_a_model_without_adapters_is_an_error(signature):
    with pytest.raises(ConfigurationError, match="has no input for lora") as caught:
        sent(signature, lora="sql")
    assert caught.value.parameter == "lora"
    with pytest.warns(UserWarning, match="has no input for lora"):
        assert "lora_name" not in sent(signature, lora="sql", unsupported="warn")


def test_an_own_backend_that_says_it_has_adapters_must_be_able_to_choose_one():
    class Own:
        """A backend of the protocol's methods alone."""

        name = "own"

        def __init__(self):
            self.real = VllmBackend()

        def supports(self, option, signature):
            return True

        def __getattr__(self, name):
            return getattr(self.real, name)

    request = replace(generation_request("vllm_model", lora="sql"), keep_special_tokens=True)
    with pytest.raises(
        ConfigurationError, match="backend 'own' must be a TensorBackend to choose LoRA adapters"
    ):
        extra_inputs(request, Own(), VLLM, ())
    plain = replace(generation_request("vllm_model"), keep_special_tokens=True)
    assert extra_inputs(plain, Own(), VLLM, ()) == [{}]


def test_special_tokens_are_kept_where_that_is_asked():
    assert fields(keep=True) == {"max_tokens": 1024, **KEPT}
    assert "skip_special_tokens" not in fields()


def test_two_requests_with_the_same_options_and_other_answers_do_not_share_a_template():
    cache = RequestCache()
    request = generation_request("vllm_model", "Hi")
    kept = replace(request, keep_special_tokens=True)
    for _ in range(2):
        assert b"skip_special" in cache.wire_request(kept, VLLM).message.SerializeToString()
        assert b"skip_special" not in cache.wire_request(request, VLLM).message.SerializeToString()


@pytest.mark.parametrize(
    ("signature", "kind", "words"),
    [
        (
            ENSEMBLE,
            TrtllmBackend,
            "skip_special_tokens to false in the config.pbtxt of its model 'postprocessing'",
        ),
        (LLMAPI, TrtllmLlmapiBackend, "skip_special_tokens=False to its SamplingParams"),
        (dynamo_signature("llama"), DynamoBackend, "set its workers up"),
    ],
)
def test_a_server_that_removes_special_tokens_is_refused_until_it_is_set_up(signature, kind, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        sent(signature, keep=True)
    assert f"backend={kind.__name__}(keeps_special_tokens=True)" in str(caught.value)
    assert sent(signature, keep=True, backend=kind(keeps_special_tokens=True)) == sent(signature)


def test_vllm_without_sampling_parameters_cannot_keep_them():
    with pytest.raises(ConfigurationError, match="must have the input 'sampling_parameters'"):
        sent(without(VLLM, "sampling_parameters"), keep=True)


@pytest.mark.parametrize("signature", [PLAIN, ENGINE], ids=["plain", "engine"])
def test_where_special_tokens_are_the_models_own_matter_nothing_is_sent(signature):
    assert detect(signature).special_token_inputs(signature) == {}
