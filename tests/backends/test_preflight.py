"""What is asked and decided before the first request, and when it is asked again."""

from __future__ import annotations

import json
import warnings
from itertools import product

import numpy as np
import pytest
from backends.signatures import BLS_ACCUMULATING, ENGINE, ENSEMBLE, LLMAPI, PLAIN, VLLM, changed, without
from core.replies import chunk, error, last, opened, remembers, wire_request

from nupic_client._core.calls.flows import Invoke
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.decoder import StreamDecoder
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.kserve import wire
from nupic_client.backends import BACKENDS, PlainBackend, VllmBackend
from nupic_client.errors import ConfigurationError, ConnectionFailedError, RequestError
from nupic_client.registry import ModelSpec
from nupic_client.signature import TensorSpec
from nupic_client.testing import dynamo_signature

READY = wire.pb.ModelReadyResponse(ready=True)
NOT_READY = wire.pb.ModelReadyResponse(ready=False)


def make_request(name="llm", backend=None, *, prompt="Hi", stream=True, text=None, **options):
    return GenerationRequest(
        model=ModelSpec(name=name, text=text),
        prompt=prompt,
        options=CallOptions().override(options),
        request_id="r1",
        target="host:8001",
        backend=backend,
        stream=stream,
    )


def config(signature):
    """Write a signature as a ModelConfigResponse."""
    response = wire.pb.ModelConfigResponse()
    made = response.config
    kinds = wire.pb.model__config__pb2.DataType
    made.name, made.backend, made.platform = signature.name, signature.backend, signature.platform
    made.max_batch_size = signature.max_batch_size
    made.model_transaction_policy.decoupled = signature.decoupled
    for field, specs in ((made.input, signature.inputs), (made.output, signature.outputs)):
        for spec in specs.values():
            kind = "STRING" if spec.datatype == "BYTES" else spec.datatype
            item = field.add(name=spec.name, data_type=kinds.Value(f"TYPE_{kind}"), dims=spec.shape)
            if field is made.input:
                item.optional = spec.optional
    for name, value in signature.parameters.items():
        made.parameters[name].string_value = value
    return response


def names(session):
    return [tensor.name for tensor in session.message.inputs]


@pytest.mark.parametrize(
    ("signature", "name"),
    [(VLLM, "sampling_parameters"), (ENSEMBLE, "stop_words"), (PLAIN, "text_input")],
)
def test_the_backend_is_chosen_by_the_config_in_one_round_trip(signature, name):
    commands, session = opened(make_request(stop="x"), config(signature))
    assert [type(command) for command in commands] == [Invoke]
    assert commands[0].method == "ModelConfig"
    assert name in names(session)


def test_accumulating_models_are_cumulative_by_their_parameters():
    _, session = opened(make_request(), config(BLS_ACCUMULATING))
    assert session._wire_request.output_names.cumulative is True


def test_the_registrys_word_on_the_text_wins():
    _, session = opened(make_request(text="delta"), config(BLS_ACCUMULATING))
    assert session._wire_request.output_names.cumulative is False


@pytest.mark.parametrize(
    ("text", "signature", "cumulative"),
    [
        (None, PLAIN, False),
        ("auto", PLAIN, None),
        ("cumulative", PLAIN, True),
        ("auto", VLLM, False),
        ("auto", BLS_ACCUMULATING, True),
    ],
)
def test_only_where_it_is_asked_for_it_is_guessed_whether_text_is_cumulative(text, signature, cumulative):
    """P-F14."""
    _, session = opened(make_request(text=text), config(signature))
    assert session._wire_request.output_names.cumulative is cumulative


@pytest.mark.parametrize(
    "alphabet", [("1", "0", ""), ("a", "ab", "abab", " "), ("word", "word word", "\u00f6")]
)
def test_every_short_sequence_of_new_text_comes_back_whole(alphabet):
    """P-F14: whatever the chunks of a plain model are."""
    _, session = opened(make_request(), config(PLAIN))
    for count in range(6):
        for texts in product(alphabet, repeat=count):
            decoder = StreamDecoder(session._wire_request.output_names)
            answer = [decoder.feed(chunk(text)) for text in texts] + [decoder.feed(last())]
            assert "".join(answer) == "".join(texts)


def test_a_given_backend_is_used():
    _, session = opened(make_request(backend=PlainBackend()), config(VLLM))
    assert "sampling_parameters" not in names(session)


def test_an_unknown_kind_of_model_is_an_error_and_is_not_remembered():
    known = ModelDirectory()
    with pytest.raises(ConfigurationError, match="give backend="):
        opened(make_request(), config(changed(PLAIN, outputs={})), models=known)
    assert not remembers(known)


@pytest.mark.parametrize(
    ("signature", "streaming_hint"),
    [
        (LLMAPI, "`decoupled: True` under `triton_config` in its model.yaml"),
        (ENSEMBLE, "decoupled_mode:true"),
        (ENGINE, "decoupled_mode:true"),
        (VLLM, "decoupled: true"),
        (PLAIN, r"ends in '\.streaming'"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_stream_of_a_model_that_cannot_is_refused_before_anything_is_sent(signature, streaming_hint):
    known = ModelDirectory()
    with pytest.raises(ConfigurationError, match=f"'llm' does not stream.*{streaming_hint}"):
        opened(make_request(), config(changed(signature, decoupled=False)), NOT_READY, models=known)
    assert not remembers(known)


@pytest.mark.parametrize("signature", [LLMAPI, PLAIN], ids=lambda value: value.name)
def test_a_streaming_twin_is_named(signature):
    with pytest.raises(ConfigurationError, match=r"use 'llm\.streaming', which this server has"):
        opened(make_request(), config(changed(signature, decoupled=False)), READY)


def test_a_whole_answer_of_such_a_model_is_fine():
    plain = changed(PLAIN, decoupled=False)
    _, session = opened(make_request(prompt="Once", stream=False), config(plain))
    assert session.receive(chunk("Once upon", final=True), 1.0) == " upon"


def test_a_backend_may_take_such_a_model_as_a_stream_of_one_piece():
    class OnePiece(PlainBackend):
        def refuse_streaming(self, signature):
            return None

    plain = changed(PLAIN, decoupled=False)
    commands, session = opened(make_request(backend=OnePiece()), config(plain))
    assert len(commands) == 1
    assert session.receive(chunk("all of it", final=True), 1.0) == "all of it"


def test_the_signature_may_be_given_and_then_nothing_is_asked():
    known = ModelDirectory()
    commands, session = opened(make_request(signature=VLLM), models=known)
    assert commands == []
    assert "sampling_parameters" in names(session)
    assert not remembers(known)


def test_a_given_signature_is_held_to_the_same_rules():
    plain = changed(PLAIN, decoupled=False)
    with pytest.raises(ConfigurationError, match="does not stream"):
        opened(make_request(signature=plain), NOT_READY)
    with pytest.raises(ConfigurationError, match="must be a ModelSignature, not str"):
        make_request(signature="vllm")


@pytest.mark.parametrize(
    "text",
    [
        "unexpected inference input 'top_k' for model 'llm'",
        "[request id: r1] inference input 'seed' data-type is 'UINT64', but model 'llm' expects 'INT64'",
        "[request id: r1] unexpected shape for input 'text_input' for model 'llm'. Expected [1], got [1,1]. ",
        "Request for unknown model: 'llm' is not found",
        "Request for unknown model: 'llm' has no available versions",
    ],
)
def test_the_config_is_asked_for_again_when_the_server_says_that_the_model_changed(text):
    known = ModelDirectory()
    _, session = opened(make_request(), config(PLAIN), models=known)
    assert remembers(known)
    with pytest.raises(RequestError):
        session.receive(error(text), 1.0)
    assert not remembers(known)
    _, second = opened(make_request(stop="x"), config(ENSEMBLE), models=known)
    assert "stop_words" in names(second)


@pytest.mark.parametrize("text", ["engine exploded", "Request was cancelled"])
def test_other_failures_leave_it_as_it_is(text):
    known = ModelDirectory()
    _, session = opened(make_request(), config(PLAIN), models=known)
    with pytest.raises(RequestError):
        session.receive(error(text), 1.0)
    assert remembers(known)


def test_a_broken_connection_leaves_it_as_it_is():
    known = ModelDirectory()
    _, session = opened(make_request(), config(PLAIN), models=known)
    assert session.broken(ConnectionFailedError("gone"), 1.0) is not None
    assert remembers(known)


# Options


def test_further_sampling_parameters_are_merged_into_vllms_json():
    made = make_request(
        max_tokens=5, backend_inputs={"sampling_parameters": {"min_tokens": 2, "max_tokens": 9}}
    )
    message = wire_request(made, VLLM).message
    index = [tensor.name for tensor in message.inputs].index("sampling_parameters")
    assert json.loads(message.raw_input_contents[index][4:]) == {"max_tokens": 9, "min_tokens": 2}


def test_a_mapping_for_an_input_that_the_backend_does_not_send_is_json_too():
    request = wire_request(
        make_request(backend=PlainBackend(), backend_inputs={"embedding_request": {"a": [1]}}), VLLM
    )
    index = [tensor.name for tensor in request.message.inputs].index("embedding_request")
    assert request.message.raw_input_contents[index][4:] == b'{"a": [1]}'


@pytest.mark.parametrize(
    "extra", [{"sampling_parameters": {"x": object()}}, {"text_input": {"x": 1}}], ids=["no JSON", "a prompt"]
)
def test_a_mapping_that_cannot_be_merged_is_an_error(extra):
    with pytest.raises(ConfigurationError, match="cannot be sent as JSON"):
        wire_request(make_request(backend_inputs=extra), VLLM)


@pytest.mark.parametrize(("given", "kept"), [(True, 0), (False, None), (None, None), (0, 0), (5, 5)])
def test_log_probabilities_are_an_option(given, kept):
    assert make_request(logprobs=given).options.logprobs == kept


@pytest.mark.parametrize("wrong", [-1, 101, "yes", 0.5])
def test_another_value_is_an_error(wrong):
    with pytest.raises(ConfigurationError, match="logprobs must be True, False or an integer from 0 to 100"):
        make_request(logprobs=wrong)


def test_log_probabilities_are_asked_for_where_they_are_wanted():
    request = wire_request(make_request(logprobs=True), VLLM)
    assert request.output_names.logprobs == "logprobs"
    assert "return_logprobs" in [tensor.name for tensor in request.message.inputs]
    assert wire_request(make_request(), VLLM).output_names.logprobs is None


def test_a_model_without_log_probabilities_says_so():
    with pytest.raises(ConfigurationError, match="no input for logprobs; it takes max_tokens "):
        wire_request(make_request(logprobs=True), PLAIN)
    with pytest.warns(UserWarning, match="no input for logprobs"):
        request = wire_request(make_request(logprobs=True, unsupported="warn"), PLAIN)
    assert request.output_names.logprobs is None


def test_what_a_backend_cannot_take_may_be_a_warning():
    with pytest.warns(UserWarning, match="no input for min_p"):
        wire_request(make_request(min_p=0.5, unsupported="warn"), ENSEMBLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wire_request(make_request(min_p=0.5), VLLM)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_no_backend_asks_a_model_that_is_not_decoupled_for_a_stream(backend):
    signatures = {
        "vllm": VLLM,
        "trtllm": ENSEMBLE,
        "trtllm_llmapi": LLMAPI,
        "trtllm_engine": ENGINE,
        "plain": PLAIN,
        "dynamo": dynamo_signature("llama"),
    }
    refusal = backend.refuse_streaming(changed(signatures[backend.name], decoupled=False))
    assert bool(refusal) is (backend.name != "dynamo")  # whose models all stream, and say so of none


def test_required_inputs_are_checked_for_every_backend():
    odd = changed(VLLM, inputs={**VLLM.inputs, "image": changed_spec(VLLM.inputs["image"])})
    with pytest.raises(ConfigurationError, match="requires the input 'image'"):
        wire_request(make_request(backend=VllmBackend()), odd)
    wire_request(make_request(backend_inputs={"image": ["data"]}), odd)


def changed_spec(spec):
    return type(spec)(spec.name, spec.datatype, spec.shape, False)


def test_a_missing_seed_is_named():
    with pytest.raises(ConfigurationError, match="no input for seed"):
        wire_request(make_request(seed=1), without(ENSEMBLE, "seed"))


def test_an_input_that_the_model_does_not_have_is_an_error_with_the_near_one():
    words = r"no input 'text_imput': did you mean 'text_input'\? the inputs are 'text_input', "
    with pytest.raises(ConfigurationError, match=words):
        wire_request(make_request(backend_inputs={"text_imput": "Hi"}), VLLM)


# P-F8, V-F2: inputs that ask for several answers


BATCH = np.array([[2]], np.int32)
TRTLLM = changed(
    ENSEMBLE,
    inputs={
        **ENSEMBLE.inputs,
        **{
            name: TensorSpec(name, datatype, optional=True)
            for name, datatype in (
                ("num_return_sequences", "INT32"),
                ("best_of", "INT32"),
                ("return_context_logits", "BOOL"),
            )
        },
    },
)


@pytest.mark.parametrize(
    ("signature", "extra"),
    [
        (VLLM, {"sampling_parameters": {"n": 2}}),
        (VLLM, {"sampling_parameters": {"n": np.int64(2), "min_tokens": 1}}),
        (VLLM, {"sampling_parameters": {"best_of": "3"}}),
        (VLLM, {"sampling_parameters": {"beam_width": 4}}),
        (VLLM, {"sampling_parameters": '{"n": 2}'}),
        (VLLM, {"sampling_parameters": b' {"n": 2.0}'}),
        (VLLM, {"sampling_parameters": ['{"n": 2}']}),
        (VLLM, {"sampling_parameters": np.array(['{"n": 2}'], object)}),
        (TRTLLM, {"beam_width": 2}),
        (TRTLLM, {"beam_width": np.int32(2)}),
        (TRTLLM, {"beam_width": [2]}),
        (TRTLLM, {"beam_width": [[2]]}),
        (TRTLLM, {"beam_width": BATCH}),
        (TRTLLM, {"num_return_sequences": 2}),
        (TRTLLM, {"best_of": 2}),
        (LLMAPI, {"sampling_param_best_of": 2}),
    ],
)
def test_several_answers_are_refused_before_anything_is_sent(signature, extra):
    """P-F8, V-F2."""
    with pytest.raises(ConfigurationError, match=r"must be 1, not .* send the prompt several times"):
        opened(make_request(backend_inputs=extra), config(signature))


@pytest.mark.parametrize("value", [True, np.bool_(True), [True], [[True]]])
def test_logits_are_refused_because_a_generation_cannot_hold_them(value):
    """P-F8."""
    with pytest.raises(ConfigurationError, match="'return_context_logits' must be false"):
        opened(make_request(backend_inputs={"return_context_logits": value}), config(TRTLLM))


def test_several_prompts_in_a_batch_are_refused():
    """P-F8."""
    with pytest.raises(ConfigurationError, match="'text_input' must have the batch size 1, not 2"):
        opened(make_request(backend_inputs={"text_input": [["a"], ["b"]]}), config(TRTLLM))


@pytest.mark.parametrize(
    ("signature", "extra"),
    [
        (VLLM, {"sampling_parameters": {"n": 1, "best_of": None, "structured_outputs": {"json": {"n": 5}}}}),
        (VLLM, {"sampling_parameters": '{"n": 1}'}),
        (VLLM, {"sampling_parameters": "{"}),
        (VLLM, {"return_finish_reason": False}),
        (TRTLLM, {"beam_width": 1, "num_return_sequences": 1, "return_context_logits": False}),
        (LLMAPI, {"sampling_param_best_of": 1}),
        (TRTLLM, {"text_input": '{"n": 2}'}),
    ],
)
def test_one_answer_may_be_said_in_words(signature, extra):
    """P-F8."""
    _, session = opened(make_request(backend_inputs=extra), config(signature))
    assert set(extra) <= set(names(session))


def test_structured_outputs_are_sent_as_the_json_text_that_vllm_wants():
    """vllm.md: a nested object, as one would write it."""
    given = {"structured_outputs": {"choice": ["yes", "no"]}, "min_tokens": np.int64(2), "logit": {"a": 1}}
    _, session = opened(make_request(backend_inputs={"sampling_parameters": given}), config(VLLM))
    index = names(session).index("sampling_parameters")
    sent = json.loads(session.message.raw_input_contents[index][4:])
    assert json.loads(sent["structured_outputs"]) == {"choice": ["yes", "no"]}
    assert (sent["min_tokens"], sent["logit"]) == (2, {"a": 1})
    text = {"structured_outputs": '{"regex": "a+"}'}
    _, session = opened(make_request(backend_inputs={"sampling_parameters": text}), config(VLLM))
    assert b'{\\"regex\\": \\"a+\\"}' in session.message.raw_input_contents[index]
