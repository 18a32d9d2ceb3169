"""The form of an answer as each backend's server is told of it."""

from __future__ import annotations

import json
import re

import pytest
from backends.signatures import BLS, ENGINE, ENSEMBLE, LLMAPI, PLAIN, VLLM, changed, specs, without
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import (
    Choice,
    ConfigurationError,
    Grammar,
    InferenceClient,
    ModelRegistry,
    ModelSpec,
    Regex,
    RequestRejectedError,
    StreamingClient,
)
from nupic_client.backends import TensorBackend, TrtllmEngineBackend
from nupic_client.backends.guides import as_pattern
from nupic_client.testing import FakeTriton, fail

GUIDES = specs("guided_decoding_guide_type BYTES\nguided_decoding_guide BYTES")
NAMED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def with_guides(signature):
    return changed(signature, inputs={**signature.inputs, **GUIDES})


def sent(signature, reply, form, *, registry=None, name=None, **options):
    """Return the generation and the inputs that the server got."""
    with (
        FakeTriton(reply, models=[signature]) as server,
        StreamingClient(name or signature.name, url=server.url, registry=registry) as client,
    ):
        generation = client.generate("Once", response_format=form, **options)
        return generation, server.requests[0].inputs


FORMS = [
    (NAMED, '{"a": 1}', "json", NAMED),
    ("json", '{"a": 1}', "json_object", True),
    (Regex("[a-z]+"), "abc", "regex", "[a-z]+"),
    (Choice(["yes", "no"]), "yes", "choice", ["yes", "no"]),
    (Grammar('root ::= "a"'), "a", "grammar", 'root ::= "a"'),
]


@pytest.mark.parametrize(("form", "text", "field", "value"), FORMS, ids=lambda each: str(each)[:20])
@pytest.mark.parametrize("guided", [None, "structured_outputs", "guided_decoding"])
def test_vllm_is_told_by_json_in_its_json(form, text, field, value, guided):
    registry = ModelRegistry([ModelSpec(name="mine", server_name=VLLM.name, guided=guided)])
    generation, inputs = sent(VLLM, [text], form, registry=registry, name="mine", temperature=0.5)
    fields = json.loads(inputs["sampling_parameters"])
    assert fields.pop("temperature") == 0.5
    assert fields.pop("max_tokens")
    assert {key: json.loads(each) for key, each in fields.items()} == {
        guided or "structured_outputs": {field: value}
    }
    assert generation.parsed == (text if field in {"regex", "choice", "grammar"} else {"a": 1})


def test_the_callers_own_parameters_of_vllm_go_over_it():
    own = {
        "sampling_parameters": {
            "structured_outputs": {"json": NAMED, "disable_any_whitespace": True},
            "min_tokens": 2,
        }
    }
    _, inputs = sent(VLLM, ['{"a": 1}'], "json", backend_inputs=own)
    fields = json.loads(inputs["sampling_parameters"])
    assert fields["min_tokens"] == 2
    assert json.loads(fields["structured_outputs"])["disable_any_whitespace"] is True


TENSORS = [
    (NAMED, '{"a": 1}', "json_schema", json.dumps(NAMED)),
    ("json", '{"a": 1}', "json_schema", '{"type": "object", "additionalProperties": true}'),
    (Regex("[a-z]+"), "abc", "regex", "[a-z]+"),
    (Choice(["yes", "no?"]), "yes", "regex", r"yes|no\?"),
    (Grammar('root ::= "a"'), "a", "ebnf_grammar", 'root ::= "a"'),
]


@pytest.mark.parametrize(("form", "text", "kind", "guide"), TENSORS, ids=lambda each: str(each)[:20])
@pytest.mark.parametrize("signature", [ENSEMBLE, BLS, PLAIN], ids=lambda signature: signature.name)
def test_models_with_the_inputs_of_tensorrt_llm_are_told_by_two_texts(signature, form, text, kind, guide):
    _, inputs = sent(with_guides(signature), [text], form)
    assert inputs["guided_decoding_guide_type"] == kind
    assert inputs["guided_decoding_guide"] == guide


@pytest.mark.parametrize(
    "signature",
    [
        PLAIN,
        LLMAPI,
        without(VLLM, "sampling_parameters"),
        without(with_guides(PLAIN), "guided_decoding_guide"),
        changed(
            PLAIN,
            inputs={**PLAIN.inputs, **specs("guided_decoding_guide_type BYTES\nguided_decoding_guide INT32")},
        ),
    ],
    ids=lambda signature: signature.name,
)
def test_a_server_that_cannot_enforce_a_form_is_not_asked(signature):
    with FakeTriton([""], models=[changed(signature, decoupled=True)]) as server:
        with StreamingClient(signature.name, url=server.url) as client:
            with pytest.raises(
                ConfigurationError, match=r"has no input for response_format, .*enforce='validate'"
            ) as caught:
                client.generate("Once", response_format=int)
        assert caught.value.parameter == "response_format"
        assert not server.requests


def test_a_backend_that_is_not_made_of_tensors_cannot():
    class Own:
        """A backend of the user's, as the protocol wants it."""

        name = "own"

        def __init__(self):
            self._real = TensorBackend()

        def __getattr__(self, name):
            return getattr(self._real, name)

        matches = refuse_streaming = inputs = supports = output_names = None

    own = Own()
    for name in ("matches", "refuse_streaming", "inputs", "supports", "output_names"):
        setattr(own, name, getattr(own._real, name))
    with FakeTriton(["1"], models=[PLAIN]) as server:
        with StreamingClient(PLAIN.name, url=server.url, backend=own) as client:
            with pytest.raises(ConfigurationError, match="backend 'own'"):
                client.generate("Once", response_format=int)
            assert client.generate("Once", response_format=int, enforce="validate").parsed == 1


def test_the_raw_engine_is_told_too():
    signature = with_guides(ENGINE)
    backend = TrtllmEngineBackend.__new__(TrtllmEngineBackend)
    assert backend.guide_inputs(signature, "regex", "a") == {
        "guided_decoding_guide_type": "regex",
        "guided_decoding_guide": "a",
    }


def test_with_enforce_validate_the_server_is_told_nothing():
    generation, inputs = sent(with_guides(PLAIN), ["[1]"], list[int], enforce="validate")
    assert generation.parsed == [1]
    assert not inputs.keys() & GUIDES.keys()


def test_a_template_serves_many_prompts():
    signature = with_guides(PLAIN)
    with FakeTriton(["1"], models=[signature]) as server:
        with StreamingClient(signature.name, url=server.url, response_format=int, stop=["\n"]) as client:
            assert [each.parsed for each in client.map(["a", "b"])] == [1, 1]
            assert client.generate("c").parsed == 1
            assert client.generate("d", response_format=None).parsed is None
        told = ["guided_decoding_guide" in request.inputs for request in server.requests]
        assert told == [True, True, True, False]


def test_a_model_that_answers_at_once_is_told_too():
    signature = changed(with_guides(PLAIN), decoupled=False)
    with FakeTriton(["1"], models=[signature]) as server:
        with InferenceClient(signature.name, url=server.url) as client:
            assert client.parse("a", int) == 1
        assert server.requests[0].inputs["guided_decoding_guide"] == '{"type": "integer"}'


def test_the_refusal_of_an_old_vllm_says_how_it_is_spelled_there():
    words = "Error generating stream: 'NoneType' object has no attribute 'lora_name'"
    with pytest.raises(RequestRejectedError, match=r"ModelSpec\(guided='guided_decoding'\)"):
        sent(VLLM, [fail(words)], int)


def test_the_refusal_of_a_guide_is_the_callers():
    with pytest.raises(RequestRejectedError, match="enforce='validate'") as caught:
        sent(with_guides(PLAIN), [fail("guided_decoding_guide: llama.cpp cannot enforce 'not'")], int)
    assert caught.value.status == "INVALID_ARGUMENT"


def test_an_unknown_spelling_is_refused():
    with pytest.raises(ConfigurationError, match="guided must be one of"):
        ModelSpec(name="m", guided="guided_json")


@given(st.text(min_size=1), st.text())
def test_the_pattern_of_a_text_matches_it_alone(text, other):
    assert re.fullmatch(as_pattern(text), text)
    assert text == other or not re.fullmatch(as_pattern(text), other)
