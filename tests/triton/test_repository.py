"""The models of the test repository behave as the backends do that they stand for.

What each backend declares and answers was read in the upstream sources of the vLLM and TensorRT-LLM backends.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import signature_from_config
from nupic_client.testing import text_signature
from triton.raw import Answer, Raw, build, floats, ints, outputs_of, strings
from triton.server import REPOSITORY

YES = ints(True, datatype="BOOL")
NO = ints(False, datatype="BOOL")
YES_2D = ints(True, shape=(1, 1), datatype="BOOL")
PROMPT = "hi there"
TOKENS = ["You", " said:", " hi", " there", " 🎉", " Grüße!"]
ANSWER = "".join(TOKENS)


def signature(raw: Raw, model: str) -> Any:
    return signature_from_config(raw.call("ModelConfig", name=model).messages[0].config)


def contents(answer: Answer) -> list[dict[str, list[Any]]]:
    """Return the outputs of each response of an answer without errors."""
    assert (answer.code, [message.error_message for message in answer.messages if message.error_message]) == (
        "OK",
        [],
    )
    return [outputs_of(message.infer_response) for message in answer.messages]


def texts(answer: Answer) -> list[str]:
    return [outputs["text_output"][0].decode() for outputs in contents(answer) if outputs]


def finals(answer: Answer) -> list[bool]:
    return [message.infer_response.parameters[wire.FINAL_PARAMETER].bool_param for message in answer.messages]


def error(answer: Answer) -> str:
    assert answer.code == "OK"
    return answer.messages[0].error_message


def how_it_ended(real_triton: Any, request_id: str) -> str:
    """Wait until a model has noted how a request ended."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for event in real_triton.server.events:
            if event["request_id"] == request_id:
                return event["event"]
        time.sleep(0.02)
    return "not at all"


def leave_early(raw: Raw, request: Any, request_id: str) -> None:
    """Start a stream and cancel it after its first message."""
    request.id = request_id
    call = raw.start(request)
    next(call)
    call.cancel()


# --- what they declare


def test_every_model_is_ready(raw):
    index = raw.call("RepositoryIndex").messages[0].models
    assert {item.name for item in index if item.state == "READY"} == {
        folder.name for folder in REPOSITORY.iterdir()
    }


@pytest.mark.parametrize("name", ["gpt", "gpt.streaming"])
def test_the_plain_models_are_those_of_the_fake_server(raw, name):
    assert signature(raw, name) == text_signature(name, decoupled=name == "gpt.streaming")


@pytest.mark.parametrize(
    ("name", "backend", "platform", "decoupled", "max_batch_size"),
    [
        ("gpt", "python", "", False, 0),
        ("gpt.streaming", "python", "", True, 0),
        ("vllm_model", "vllm", "", True, 0),
        ("ensemble", "", "ensemble", True, 4),
        ("tensorrt_llm_bls", "python", "", True, 4),
        ("tensorrt_llm_bls_accumulate", "python", "", True, 4),
        ("tensorrt_llm", "python", "", True, 4),
        ("llmapi", "python", "", True, 0),
        ("llmapi_once", "python", "", False, 0),
        ("sbert", "python", "", False, 64),
        ("bert-classifier", "python", "", False, 8),
    ],
)
def test_the_kind_of_each_model(raw, name, backend, platform, decoupled, max_batch_size):
    found = signature(raw, name)
    assert (found.backend, found.platform, found.decoupled, found.max_batch_size) == (
        backend,
        platform,
        decoupled,
        max_batch_size,
    )


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("vllm_model", {"text_input"}),
        ("ensemble", {"text_input", "max_tokens"}),
        ("tensorrt_llm_bls", {"text_input", "max_tokens"}),
        ("tensorrt_llm", {"input_lengths", "request_output_len"}),
        ("llmapi", {"text_input"}),
    ],
)
def test_the_required_inputs(raw, name, required):
    assert {item.name for item in signature(raw, name).inputs.values() if not item.optional} == required


def test_the_vllm_backend_completes_the_configuration_of_its_models(raw):
    assert "input" not in (REPOSITORY / "vllm_model" / "config.pbtxt").read_text()
    found = signature(raw, "vllm_model")
    assert found.inputs["sampling_parameters"].datatype == "BYTES"
    assert found.outputs["num_input_tokens"].datatype == "UINT32"


def test_the_parameters_of_a_bls_tell_it_from_an_ensemble(raw):
    assert signature(raw, "tensorrt_llm_bls").parameters["accumulate_tokens"] == "false"
    assert signature(raw, "tensorrt_llm_bls_accumulate").parameters["accumulate_tokens"] == "true"


# --- plain text


def test_plain_text_may_be_cut_inside_a_character(raw, real_triton):
    real_triton.reply = [b"\xf0\x9f", b"\x8e\x89"]
    answer = raw.stream(build("gpt.streaming", {"text_input": strings("hi")}))
    assert [outputs.get("text_output") for outputs in contents(answer)] == [
        [b"\xf0\x9f"],
        [b"\x8e\x89"],
        None,
    ]
    assert finals(answer) == [False, False, True]


def test_plain_text_with_the_final_mark_on_the_last_token(raw, real_triton):
    real_triton.final = "with_last"
    assert finals(raw.stream(build("gpt.streaming", {"text_input": strings("hi")}))) == [
        False,
        False,
        False,
        True,
    ]


def test_the_facts_of_a_plain_answer_come_when_asked_for(raw, real_triton):
    switches = {f"return_{name}": YES for name in ("finish_reason", "num_input_tokens", "num_output_tokens")}
    *deltas, last, mark = contents(
        raw.stream(build("gpt.streaming", {"text_input": strings("hi there"), **switches}))
    )
    assert all(outputs["finish_reason"] == [b"None"] for outputs in deltas)
    assert all(outputs["num_output_tokens"] == [1] for outputs in deltas)
    assert (last["finish_reason"], last["num_input_tokens"], mark) == ([b"stop"], [2], {})


# --- vLLM


def vllm(
    prompt: str = PROMPT, *, stream: bool = True, sampling: dict[str, Any] | None = None, **inputs: Any
) -> Any:
    inputs["text_input"] = strings(prompt)
    inputs["stream"] = YES if stream else NO
    if sampling is not None:
        inputs["sampling_parameters"] = strings(json.dumps(sampling))
    return build("vllm_model", inputs)


def test_vllm_streams_deltas_with_the_final_mark_on_the_last(raw):
    answer = raw.stream(vllm())
    assert texts(answer) == TOKENS
    assert finals(answer) == [False] * 5 + [True]


def test_vllm_answers_at_once_with_the_prompt_in_front(raw):
    assert texts(raw.stream(vllm(stream=False))) == [PROMPT + ANSWER]
    assert texts(raw.stream(vllm(stream=False, exclude_input_in_output=YES))) == [ANSWER]


def test_vllm_has_its_own_small_limit(raw):
    assert len(texts(raw.stream(vllm("[repeat=100]")))) == 16
    assert len(texts(raw.stream(vllm("[repeat=100]", sampling={"max_tokens": 40})))) == 40


def test_vllm_gives_the_facts_with_every_response(raw):
    names = ("finish_reason", "cumulative_logprob", "logprobs", "num_input_tokens", "num_output_tokens")
    answer = raw.stream(vllm(**{f"return_{name}": YES for name in names}))
    first, *_, last = contents(answer)
    assert (first["finish_reason"], last["finish_reason"]) == ([b"None"], [b"stop"])
    assert (first["num_input_tokens"], last["num_input_tokens"]) == ([2], [2])
    assert sum(outputs["num_output_tokens"][0] for outputs in contents(answer)) == len(TOKENS)
    assert last["cumulative_logprob"] == [-0.5 * len(TOKENS)]
    ((position,),) = (json.loads(first["logprobs"][0]),)
    assert position == {"3": {"logprob": -0.5, "rank": 1, "decoded_token": "You"}}
    shapes = {output.name: list(output.shape) for output in answer.messages[0].infer_response.outputs}
    assert (shapes["num_input_tokens"], shapes["num_output_tokens"]) == ([], [1])


def test_vllm_says_length_at_the_limit(raw):
    *_, last = contents(raw.stream(vllm(sampling={"max_tokens": 2}, return_finish_reason=YES)))
    assert last["finish_reason"] == [b"length"]


def test_vllm_gives_several_texts_as_elements(raw):
    assert contents(raw.stream(vllm(sampling={"n": 2})))[0]["text_output"] == [b"You", b"You"]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (vllm("[fail=0]"), "Error generating stream: engine exploded at token 0"),
        (
            vllm(exclude_input_in_output=NO),
            "Error generating stream: When streaming, `exclude_input_in_output` = False is not allowed.",
        ),
        (
            vllm(sampling={"nope": 1}),
            "Error generating stream: 'NoneType' object has no attribute 'lora_name'",
        ),
        (vllm(sampling={"lora_name": "x"}), "Error generating stream: LoRA feature is not enabled."),
    ],
)
def test_the_errors_of_vllm(raw, request_, text):
    assert error(raw.stream(request_)) == text


def test_vllm_sees_a_cancel_with_the_next_token(raw, real_triton):
    leave_early(raw, vllm("[repeat=1000][delay=0.01]", sampling={"max_tokens": 1000}), "vllm-cancel")
    assert how_it_ended(real_triton, "vllm-cancel") == "cancelled"


def test_vllm_cannot_be_called_without_a_stream(raw):
    assert raw.send("ModelInfer", vllm(stream=False)).code == "UNIMPLEMENTED"


# --- TensorRT-LLM: ensemble and BLS

BLS = ("tensorrt_llm_bls", "tensorrt_llm_bls_accumulate")
THREE_STEPS = ("ensemble", *BLS)


def trtllm(model: str, prompt: str = PROMPT, *, limit: int = 100, stream: bool = True, **inputs: Any) -> Any:
    inputs["text_input"] = strings(prompt, shape=(1, 1))
    inputs["max_tokens"] = ints(limit, shape=(1, 1))
    inputs["stream"] = ints(stream, shape=(1, 1), datatype="BOOL")
    return build(model, inputs)


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm_bls"])
def test_an_ensemble_and_a_bls_stream_deltas_that_may_be_damaged(raw, model):
    chunks = texts(raw.stream(trtllm(model)))
    assert chunks[:3] == ["You", " sa", "id:"]
    # Each response is decoded alone: the server's own U+FFFD, which no client can repair.
    assert "\ufffd" in "".join(chunks)


def test_a_bls_that_accumulates_streams_the_whole_text_each_time(raw):
    chunks = texts(raw.stream(trtllm("tensorrt_llm_bls_accumulate")))
    assert chunks[:2] == ["You", "You sa"]
    assert chunks[-1] == ANSWER


def test_the_final_mark_of_an_ensemble_is_on_its_last_response(raw):
    answer = raw.stream(trtllm("ensemble", limit=3))
    assert (len(texts(answer)), finals(answer)) == (3, [False, False, True])


@pytest.mark.parametrize("model", BLS)
def test_the_final_mark_of_a_bls_comes_by_itself(raw, model):
    answer = raw.stream(trtllm(model, limit=3))
    assert (len(texts(answer)), finals(answer)) == (3, [False, False, False, True])


@pytest.mark.parametrize("model", THREE_STEPS)
def test_the_prompt_is_echoed_unless_it_streams(raw, model):
    assert texts(raw.stream(trtllm(model, stream=False))) == [PROMPT + ANSWER]
    assert texts(raw.stream(trtllm(model, stream=False, exclude_input_in_output=YES_2D))) == [ANSWER]


@pytest.mark.parametrize("model", THREE_STEPS)
def test_the_token_counts_come_when_asked_for(raw, model):
    switches = {"return_num_input_tokens": YES_2D, "return_num_output_tokens": YES_2D}
    first, *_ = contents(raw.stream(trtllm(model, **switches)))
    assert (first["num_input_tokens"], first["num_output_tokens"]) == ([3], [1])
    whole = contents(raw.stream(trtllm(model, limit=4, stream=False, **switches)))[0]
    assert whole["num_output_tokens"] == [4 + 3], "with the echo the prompt counts as output"
    assert "num_input_tokens" not in contents(raw.stream(trtllm(model)))[0]


@pytest.mark.parametrize("model", THREE_STEPS)
def test_a_stop_word_stays_in_the_text(raw, model):
    stop = strings("id:", "never", shape=(1, 2))
    assert texts(raw.stream(trtllm(model, stop_words=stop)))[-1].endswith("id:")


@pytest.mark.parametrize("model", THREE_STEPS)
def test_the_limit_counts_tokens(raw, model):
    assert len(texts(raw.stream(trtllm(model, limit=2)))) == 2


@pytest.mark.parametrize("model", BLS)
def test_the_errors_of_a_bls_are_tracebacks(raw, model):
    answer = raw.stream(trtllm(model, limit=0))
    assert error(answer).startswith("Traceback (most recent call last):\n")
    assert error(answer).endswith("\nValueError: max_tokens must be a single value > 0\n")
    assert finals(answer)[-1], "the final mark comes after the error"


def test_an_engine_that_fails_in_an_ensemble(raw):
    assert (
        "engine exploded at token 1" in raw.stream(trtllm("ensemble", "[fail=1]")).messages[-1].error_message
    )


@pytest.mark.parametrize("model", BLS)
def test_a_bls_sees_a_cancel(raw, real_triton, model):
    leave_early(raw, trtllm(model, "[repeat=1000][delay=0.01]", limit=1000), f"{model}-cancel")
    assert how_it_ended(real_triton, f"{model}-cancel") == "cancelled"


def test_a_cancel_of_an_ensemble_does_not_reach_the_step_that_runs(raw, real_triton):
    """Triton 2.51 tells only the steps that have not begun: the engine generates to its end."""
    leave_early(raw, trtllm("ensemble", "[repeat=100][delay=0.02]", limit=30), "ensemble-cancel")
    assert how_it_ended(real_triton, "ensemble-cancel") == "done"


# --- TensorRT-LLM: the raw engine


def to_ids(text: str) -> list[int]:
    """Write token ids as the stand-in does: three bytes each."""
    data = text.encode()
    chunks = [data[start : start + 3] for start in range(0, len(data), 3)]
    return [len(chunk) << 24 | int.from_bytes(chunk, "little") for chunk in chunks]


def engine(prompt: str = PROMPT, *, limit: int = 100, streaming: bool = True, **inputs: Any) -> Any:
    ids = to_ids(prompt)
    inputs["input_ids"] = ints(*ids, shape=(1, len(ids)))
    inputs["input_lengths"] = ints(len(ids), shape=(1, 1))
    inputs["request_output_len"] = ints(limit, shape=(1, 1))
    inputs["streaming"] = ints(streaming, shape=(1, 1), datatype="BOOL")
    return build("tensorrt_llm", inputs)


def ids_of(answer: Answer) -> list[list[int]]:
    return [outputs["output_ids"] for outputs in contents(answer)]


def test_the_engine_streams_new_token_ids(raw):
    answer = raw.stream(engine())
    assert [number for ids in ids_of(answer) for number in ids] == to_ids(ANSWER)
    assert [*finals(answer)[-2:]] == [False, True]
    (output, length) = answer.messages[0].infer_response.outputs
    assert (output.datatype, list(output.shape), list(length.shape)) == ("INT32", [1, 1, 1], [1, 1])


def test_the_engine_echoes_the_prompt_unless_it_streams(raw):
    assert ids_of(raw.stream(engine(streaming=False))) == [to_ids(PROMPT) + to_ids(ANSWER)]
    assert ids_of(raw.stream(engine(streaming=False, exclude_input_in_output=YES_2D))) == [to_ids(ANSWER)]


def test_the_engine_stops_at_a_list_of_ids(raw):
    words = ints(*to_ids("id:"), 1, shape=(1, 2, 1))
    assert ids_of(raw.stream(engine(stop_words_list=words)))[-1] == to_ids("id:")


def test_the_engine_counts(raw):
    switches = {"return_num_input_tokens": YES_2D, "return_num_output_tokens": YES_2D}
    first, *_ = contents(raw.stream(engine(**switches)))
    assert (first["num_input_tokens"], first["num_output_tokens"]) == ([3], [1])


def test_the_engine_refuses_a_bad_value_with_the_id_of_the_request(raw):
    assert error(raw.stream(engine(limit=0))) == (
        "An error occurred when processing the input values for request id r1, "
        "the error was 'request_output_len must be > 0'"
    )


def test_the_engine_sees_a_cancel(raw, real_triton):
    leave_early(raw, engine("[repeat=1000][delay=0.01]", limit=1000), "engine-cancel")
    assert how_it_ended(real_triton, "engine-cancel") == "cancelled"


def test_the_engine_wants_an_id_to_stop_a_request(raw):
    request = engine(stop=YES_2D)
    assert finals(raw.stream(request)) == [True]
    request.id = ""
    assert "A request id must be provided for request cancellation" in error(raw.stream(request))


# --- TensorRT-LLM: the LLM-API model


def llmapi(prompt: str = PROMPT, *, model: str = "llmapi", streaming: bool = True, **inputs: Any) -> Any:
    return build(model, {"text_input": strings(prompt), "streaming": YES if streaming else NO, **inputs})


def test_the_llm_api_streams_the_whole_text_each_time(raw):
    answer = raw.stream(llmapi())
    assert texts(answer) == ["".join(TOKENS[: index + 1]) for index in range(len(TOKENS))]
    assert finals(answer) == [False] * 5 + [True]


def test_the_llm_api_echoes_the_prompt_unless_it_streams(raw):
    assert texts(raw.stream(llmapi(streaming=False))) == [PROMPT + ANSWER]
    excluded = llmapi(streaming=False, sampling_param_exclude_input_from_output=YES)
    assert texts(raw.stream(excluded)) == [ANSWER]


def test_the_reasons_of_the_llm_api(raw):
    switches = {"return_finish_reason": YES, "return_stop_reason": YES}
    first, *_, last = contents(raw.stream(llmapi(**switches)))
    assert (first["finish_reason"], last["finish_reason"], last["stop_reason"]) == (
        [b"None"],
        [b"stop"],
        [b"None"],
    )
    *_, last = contents(raw.stream(llmapi(sampling_param_stop=strings("there"), **switches)))
    assert (last["text_output"], last["stop_reason"]) == ([b"You said: hi "], [b"there"])
    *_, last = contents(raw.stream(llmapi(sampling_param_max_tokens=ints(2), **switches)))
    assert last["finish_reason"] == [b"length"]


def test_the_llm_api_sends_numbers_as_strings(raw):
    answer = raw.stream(llmapi(return_cumulative_logprob=YES, sampling_param_return_perf_metrics=YES))
    types = {output.name: output.datatype for output in answer.messages[0].infer_response.outputs}
    assert types["cumulative_logprob"] == types["acceptance_rate"] == "BYTES"
    assert contents(answer)[0]["acceptance_rate"] == [b"0.0"]


def test_the_llm_api_as_it_is_shipped_does_not_stream(raw):
    assert error(raw.stream(llmapi(model="llmapi_once"))) == "Streaming is only supported in decoupled mode."
    whole = raw.send("ModelInfer", llmapi(model="llmapi_once", streaming=False))
    assert outputs_of(whole.messages[0]) == {"text_output": [(PROMPT + ANSWER).encode()]}


def test_the_errors_of_the_llm_api(raw):
    answer = raw.stream(llmapi("[fail=2]"))
    assert answer.messages[-1].error_message == "Error generating request: engine exploded at token 2"


def test_the_llm_api_sees_a_cancel(raw, real_triton):
    leave_early(
        raw, llmapi("[repeat=1000][delay=0.01]", sampling_param_max_tokens=ints(1000)), "llmapi-cancel"
    )
    assert how_it_ended(real_triton, "llmapi-cancel") == "cancelled"


# --- embeddings and classes


def test_sbert_gives_a_vector_of_length_one_for_each_text(raw):
    answer = raw.send("ModelInfer", build("sbert", {"text_input": strings("a", "b", "a", shape=(3, 1))}))
    (response,) = answer.messages
    assert list(response.outputs[0].shape) == [3, 384]
    vectors = outputs_of(response)["embedding"]
    assert vectors[:384] == vectors[768:] != vectors[384:768]
    assert sum(value * value for value in vectors[:384]) == pytest.approx(1, abs=1e-5)


def test_the_server_joins_requests_to_sbert_into_batches(raw):
    config = raw.call("ModelConfig", name="sbert").messages[0].config
    assert config.dynamic_batching.max_queue_delay_microseconds == 100


def test_a_text_that_cannot_be_embedded(raw):
    answer = raw.send("ModelInfer", build("sbert", {"text_input": strings("[fail]", shape=(1, 1))}))
    assert (answer.code, answer.details) == ("INTERNAL", "the sentence cannot be embedded")


def test_the_classifier_takes_ids_and_a_mask(raw):
    inputs = {
        "input_ids": ints(1, 2, 3, 4, 5, 0, shape=(2, 3), datatype="INT64"),
        "attention_mask": ints(1, 1, 1, 1, 1, 0, shape=(2, 3), datatype="INT64"),
    }
    (response,) = raw.send("ModelInfer", build("bert-classifier", inputs)).messages
    assert (outputs_of(response)["logits"], list(response.outputs[0].shape)) == ([1, 2, 1, 1], [2, 2])


def test_floats_are_accepted_where_they_are_declared(raw):
    assert texts(raw.stream(trtllm("tensorrt_llm_bls", temperature=floats(0.5, shape=(1, 1)))))
