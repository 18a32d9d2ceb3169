"""Whole generations against a server that serves the models of every backend."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
from backends.signatures import (
    BLS,
    BLS_ACCUMULATING,
    ENGINE,
    ENSEMBLE,
    LLMAPI,
    PLAIN,
    VLLM,
    changed,
    results,
    specs,
)
from facade.conftest import by_async_iterator, by_iterator

from nupic_client import (
    ConfigurationError,
    FinishReason,
    InferenceError,
    RequestRejectedError,
    StreamingClient,
)
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor
from nupic_client.backends import PlainBackend, TensorBackend, TrtllmEngineBackend
from nupic_client.testing import FakeTriton, Reply, fail, raw


@pytest.fixture(params=[by_iterator, by_async_iterator], ids=["sync", "async"])
def read(request):
    return request.param


def generate(read, signature, reply, *, backend=None, final="separate", **options):
    """Return chunks, generation and the recorded request."""
    with (
        FakeTriton(reply, models=[signature], final=final) as server,
        StreamingClient(signature.name, url=server.url, backend=backend) as client,
    ):
        chunks, generation = read(client, "Once", **options)
        return chunks, generation, server.requests[0]


def test_vllm(read):
    def steps(request):
        assert request.inputs["stream"] is True
        for text, more in (("Hel", 1), ("lo", 2)):
            yield {
                "text_output": text,
                "finish_reason": "None",
                "num_input_tokens": 4,
                "num_output_tokens": more,
                "logprobs": json.dumps([{"5": {"logprob": -0.5, "rank": 1, "decoded_token": text}}]),
            }
        yield {
            "text_output": "!",
            "finish_reason": "length",
            "num_input_tokens": 4,
            "num_output_tokens": 1,
            "logprobs": "null",
        }

    chunks, generation, request = generate(
        read, VLLM, steps, final="with_last", logprobs=True, temperature=0.5, stop=["x"]
    )
    assert chunks == ["Hel", "lo", "!"]
    assert generation.finish_reason is FinishReason.LENGTH
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (4, 4)
    assert [told.token for told in generation.logprobs] == ["Hel", "lo"]
    assert json.loads(request.inputs["sampling_parameters"]) == {
        "max_tokens": 1024,
        "temperature": 0.5,
        "stop": ["x"],
        "logprobs": 1,
    }


def test_an_error_of_vllm_comes_without_its_placeholder(read):
    def both(request):
        response = wire.pb.ModelStreamInferResponse(error_message="Error generating stream: boom")
        answer = response.infer_response
        answer.id = request.request_id
        answer.outputs.add(name="text_output", datatype="BYTES", shape=[1])
        answer.raw_output_contents.append(encode_tensor("BYTES", ["N/A"]))
        answer.parameters["triton_final_response"].bool_param = True
        return response

    with pytest.raises(InferenceError, match="Error generating stream: boom") as caught:
        generate(read, VLLM, ["Hel", raw(both)])
    assert caught.value.partial_text == "Hel"


def test_a_refusal_of_vllm_that_names_no_parameter(read):
    """vllm.md: `RequestRejectedError` with the parameters that were sent, by name."""
    words = "Error generating stream: 'NoneType' object has no attribute 'lora_name'"
    with pytest.raises(RequestRejectedError) as caught:
        generate(
            read,
            VLLM,
            [fail(words)],
            temperature=0.5,
            backend_inputs={"sampling_parameters": {"guided_json": 3}},
        )
    assert caught.value.message == (
        "vLLM refused sampling_parameters (its log says which), it was sent 'guided_json', 'max_tokens', 'temperature': "
        + words
    )
    assert (caught.value.server_message, len(caught.value.attempts)) == (words, 1)


@pytest.mark.parametrize("signature", [ENSEMBLE, BLS], ids=lambda signature: signature.name)
def test_trtllm(read, signature):
    reply = Reply(
        [
            {
                "text_output": "Once",
                "num_input_tokens": 3,
                "num_output_tokens": 1,
                "output_log_probs": [-0.5],
            },
            {
                "text_output": " upon",
                "num_input_tokens": 3,
                "num_output_tokens": 2,
                "output_log_probs": [-0.5, -1.0],
            },
        ],
        input_tokens=3,
    )
    chunks, generation, request = generate(
        read, signature, reply, top_k=1, seed=2**64 - 1, stop=["a", "b"], logprobs=True
    )
    assert chunks == ["Once", " upon"]
    assert generation.finish_reason is None
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (3, 3)
    assert [told.logprob for told in generation.logprobs] == [-0.5, -1.0]
    assert request.inputs["max_tokens"] == 1024
    assert request.inputs["seed"] == 2**64 - 1
    assert list(request.inputs["stop_words"]) == ["a", "b"]


def test_a_stop_word_that_the_server_left_in_the_text_is_cut(read):
    chunks, generation, _ = generate(read, BLS, ["so ", "EN", "D and"], stop="END")
    assert "".join(chunks) == "so "
    assert generation.finish_reason is FinishReason.STOP


def test_trtllm_that_accumulates_tokens(read):
    chunks, generation, _ = generate(read, BLS_ACCUMULATING, ["ha", "haha", "haha \ufffd", "haha é"])
    assert generation.text == "".join(chunks) == "haha é"


def test_the_traceback_of_a_bls_model_ends_with_what_happened(read):
    words = "Exception: max_tokens must be a single value > 0"
    text = f'Traceback (most recent call last):\n  File "model.py"\n{words}\n'
    with pytest.raises(InferenceError) as caught:
        generate(read, BLS, [fail(text)])
    assert "max_tokens must be a single value > 0" in caught.value.message
    assert "Traceback" not in caught.value.message
    assert caught.value.server_message == text


def test_trtllm_llmapi(read):
    chunks, generation, request = generate(
        read, LLMAPI, Reply(["Once", "Once upon", "Once upon a"], finish_reason="stop"), stop="time"
    )
    assert (chunks, generation.text) == (["Once", " upon", " a"], "Once upon a")
    assert generation.finish_reason is FinishReason.STOP
    assert generation.usage.output_tokens is None
    assert list(request.inputs["sampling_param_stop"]) == ["time"]


def test_the_shipped_llmapi_model_is_refused_before_anything_is_sent(read):
    with pytest.raises(ConfigurationError, match=r"decoupled: True.*model\.yaml"):
        generate(read, changed(LLMAPI, decoupled=False), ["x"])


class Words:
    eos_token_id = 2

    def encode(self, text):
        return list(text.encode())

    def decode(self, ids):
        return bytes(ids).decode(errors="replace")


def test_trtllm_engine(read):
    steps = [{"output_ids": list(part)} for part in ("Hé".encode()[:2], "Hé".encode()[2:], b"!\x02")]
    chunks, generation, request = generate(
        read, ENGINE, Reply(steps, honour_max_tokens=False), backend=TrtllmEngineBackend(Words())
    )
    assert chunks == ["H", "é", "!"]
    assert generation.text == "Hé!"
    assert list(request.inputs["input_ids"]) == list(b"Once")
    assert (request.inputs["input_lengths"], request.inputs["end_id"]) == (4, 2)


def test_the_engine_without_a_tokenizer_is_refused(read):
    with pytest.raises(ConfigurationError, match="token ids, not text"):
        generate(read, ENGINE, ["x"])


def with_outputs(signature, outputs, inputs=""):
    """Return a model with further outputs, and the inputs that ask for them."""
    return changed(
        signature,
        inputs={**signature.inputs, **specs(inputs)},
        outputs={**signature.outputs, **results(outputs)},
    )


LOGITS = "context_logits FP32 [-1,-1]\ngeneration_logits FP32 [-1,-1]"
LOGITS_INPUTS = "return_context_logits BOOL\nreturn_generation_logits BOOL"


@pytest.mark.parametrize(
    ("signature", "outputs", "switches", "options"),
    [
        (
            with_outputs(ENSEMBLE, LOGITS, LOGITS_INPUTS),
            {"context_logits": [0.5, 1.5, 2.5], "generation_logits": [1.0]},
            {"return_context_logits", "return_generation_logits"},
            {},
        ),
        (ENSEMBLE, {"cum_log_probs": [-1.5]}, {"return_log_probs"}, {"top_k": 1}),
        (
            with_outputs(BLS, "arrival_time_ns INT64\nacceptance_rate FP32", "return_perf_metrics BOOL"),
            {"arrival_time_ns": [2**60], "acceptance_rate": [0.5]},
            {"return_perf_metrics"},
            {},
        ),
        (VLLM, {"cumulative_logprob": [-0.5]}, {"return_cumulative_logprob"}, {}),
        (
            with_outputs(LLMAPI, "kv_cache_hit_rate FP32"),
            {"kv_cache_hit_rate": [0.5], "stop_reason": ["eos"]},
            {"sampling_param_return_perf_metrics", "return_stop_reason"},
            {},
        ),
        (with_outputs(PLAIN, "sources BYTES [-1]"), {"sources": ["a.pdf", "b.pdf"]}, set(), {}),
    ],
    ids=lambda value: getattr(value, "name", None) or ("-".join(value) if isinstance(value, dict) else None),
)
def test_outputs_beside_the_text(read, signature, outputs, switches, options):
    steps = [
        {"text_output": "Once", **outputs},
        {"text_output": "Once upon" if signature.name == "tensorrt_llm" else " upon"},
    ]
    _, plain, request = generate(read, signature, Reply(steps), **options)
    assert plain.outputs is None
    assert not switches & request.inputs.keys()
    chunks, generation, request = generate(read, signature, Reply(steps), outputs=[*outputs], **options)
    assert chunks == ["Once", " upon"]
    assert {name: array.ravel().tolist() for name, array in generation.outputs.items()} == outputs
    assert all(request.inputs[name] is True for name in switches)


def test_the_token_ids_of_an_engine_are_an_output_too(read):
    class Words:
        eos_token_id = 2

        def encode(self, text):
            return list(text.encode())

        def decode(self, ids):
            return bytes(ids).decode(errors="replace")

    steps = [{"output_ids": [72], "sequence_length": [1]}, {"output_ids": [105], "sequence_length": [1]}]
    chunks, generation, _ = generate(
        read,
        ENGINE,
        Reply(steps, honour_max_tokens=False),
        backend=TrtllmEngineBackend(Words()),
        outputs=["output_ids", "sequence_length"],
    )
    assert chunks == ["H", "i"]
    assert generation.outputs["output_ids"].ravel().tolist() == [105]


def test_an_own_backend(read):
    class Acme(TensorBackend):
        name = "acme"
        prompt = "PROMPT"
        text = "COMPLETION"
        options: ClassVar = {"max_tokens": ("OUTPUT_LEN",)}
        stream_input = "STREAM"
        cumulative = True

    acme = changed(
        PLAIN,
        inputs=specs("PROMPT! BYTES\nOUTPUT_LEN! UINT32\nSTREAM BOOL"),
        outputs=results("COMPLETION BYTES"),
        max_batch_size=1,
    )
    chunks, _, request = generate(read, acme, ["ha", "haha"], backend=Acme(), max_tokens=2)
    assert chunks == ["ha", "ha"]
    assert dict(request.inputs) == {"PROMPT": "Once", "OUTPUT_LEN": 2, "STREAM": True}
    with pytest.raises(ConfigurationError, match="give backend="):
        generate(read, acme, ["x"])


def test_a_plain_model_that_repeats_the_prompt(read):
    chunks, _, _ = generate(read, PLAIN, ["On", "ce upon", " a time"], backend=PlainBackend(echo=True))
    assert "".join(chunks) == " upon a time"
    chunks, _, _ = generate(read, PLAIN, ["On", "ce upon", " a time"])
    assert "".join(chunks) == "Once upon a time"


def test_a_server_that_loaded_another_release_is_asked_again(read):
    old = changed(PLAIN, name="gpt")
    new = changed(ENSEMBLE, name="gpt")
    with FakeTriton(["x"], models=[old]) as server:
        port = int(server.url.rpartition(":")[2])
        with StreamingClient("gpt", url=server.url) as client:
            read(client, "Once")
            server.stop()
            with FakeTriton(["y"], models=[new], port=port):
                client.wait_until_ready(10)
                with pytest.raises(RequestRejectedError):
                    read(client, "Once")
                assert read(client, "Once")[0] == ["y"]
