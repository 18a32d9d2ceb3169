"""Requests that share what their options decide are the same as requests that share nothing."""

import warnings

import pytest
from backends.signatures import ENGINE, ENSEMBLE, LLMAPI, PLAIN, VLLM, changed
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client.backends import TensorSpec, TrtllmEngineBackend, detect
from nupic_client.backends.plain import PlainBackend
from nupic_client.errors import ConfigurationError
from nupic_client.registry import ModelSpec

MODEL = ModelSpec(name="gpt", server_name="gpt.streaming", version="3", stop=("</s>",))


class Letters:
    """A tokenizer."""

    eos_token_id = 2

    def encode(self, text):
        return [ord(character) for character in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


def prepared(request_cache, signature, prompt="Hi", options=None, **of):
    request = GenerationRequest(
        **{"model": MODEL, "backend": None, **of},
        prompt=prompt,
        options=options or CallOptions(),
        request_id=f"id of {prompt!r}",
        target="here",
    )
    return request_cache.wire_request(request, signature)


def one_by_one(backend):
    """Return the same backend, but one that may look at the prompt for every input: then nothing is shared."""

    class OneByOne(type(backend)):
        asked = 0

        def inputs(self, *arguments, **options):
            self.asked += 1
            return super().inputs(*arguments, **options)

    alone = OneByOne.__new__(OneByOne)
    alone.__dict__.update(backend.__dict__)
    return alone


def texts(request):
    """Return the contents of the request's inputs by their names."""
    names = [tensor.name for tensor in request.message.inputs]
    return dict(zip(names, request.message.raw_input_contents, strict=True))


PROMPTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=4)


@pytest.mark.parametrize("signature", [PLAIN, VLLM, ENSEMBLE, LLMAPI, ENGINE], ids=lambda each: each.name)
@pytest.mark.parametrize("stream", [True, False])
@given(prompts=PROMPTS)
def test_a_request_from_a_template_is_the_request_made_alone(signature, stream, prompts):
    backend = TrtllmEngineBackend(Letters()) if signature is ENGINE else detect(signature)
    alone = one_by_one(backend)
    options = CallOptions().override({"max_tokens": 7, "stop": ["END"]})
    shared, unshared = RequestCache(), RequestCache()
    for prompt in prompts:
        of = {"prompt": prompt, "options": options, "stream": stream}
        one = prepared(shared, signature, backend=backend, **of)
        other = prepared(unshared, signature, backend=alone, **of)
        assert one.message == other.message
        assert one.message.id == f"id of {prompt!r}"
        assert (one.stops, one.output_names.text) == (other.stops, other.output_names.text)
    assert alone.asked == len(prompts)


def test_each_request_is_a_message_of_its_own():
    shared = RequestCache()
    first = prepared(shared, PLAIN, "first")
    first.message.ClearField("parameters")
    second = prepared(shared, PLAIN, "second")
    assert "first" in str(first.message)
    assert "first" not in str(second.message)
    assert second.message.parameters


def test_other_options_and_another_signature_are_looked_at_anew():
    shared = RequestCache()
    for tokens in (5, 6, 7):
        request = prepared(shared, PLAIN, options=CallOptions().override({"max_tokens": tokens}))
        assert texts(request)["max_tokens"] == bytes([tokens, 0, 0, 0])
    options = CallOptions().override({"max_tokens": 5})
    wide = changed(
        PLAIN, inputs={**PLAIN.inputs, "max_tokens": TensorSpec("max_tokens", "INT64", (1,), optional=True)}
    )
    assert len(texts(prepared(shared, PLAIN, options=options))["max_tokens"]) == 4
    assert len(texts(prepared(shared, wide, options=options))["max_tokens"]) == 8


def test_a_model_with_other_stop_strings_has_requests_of_its_own():
    shared, options = RequestCache(), CallOptions()
    chat = ModelSpec(name="gpt", server_name="gpt.streaming", version="3", stop=("</s>", "<|user|>"))
    assert prepared(shared, PLAIN, options=options).stops == ("</s>",)
    assert prepared(shared, PLAIN, options=options, model=chat).stops == ("</s>", "<|user|>")
    assert prepared(shared, PLAIN, options=options).stops == ("</s>",)


def test_a_warning_is_given_for_every_request():
    shared = RequestCache()
    options = CallOptions().override({"temperature": 0.5, "unsupported": "warn"})
    for _ in range(3):
        with pytest.warns(UserWarning, match="no input for temperature"):
            prepared(shared, PLAIN, options=options)


def test_nothing_is_remembered_of_a_request_that_is_refused():
    shared = RequestCache()
    options = CallOptions().override({"temperature": 0.5})
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="no input for temperature"):
            prepared(shared, PLAIN, options=options)


@pytest.mark.parametrize("prompt", ["\ud800", "half \udfff"])
def test_a_prompt_that_is_no_unicode_is_refused_also_after_a_good_one(prompt):
    shared, options = RequestCache(), CallOptions()
    prepared(shared, PLAIN, "good", options)
    with pytest.raises(ConfigurationError, match="text_input"):
        prepared(shared, PLAIN, prompt, options)
    assert texts(prepared(shared, PLAIN, "good", options))["text_input"] == b"\x04\0\0\0good"


def test_the_callers_own_input_may_replace_the_prompt():
    shared = RequestCache()
    options = CallOptions().override({"backend_inputs": {"text_input": "mine", "max_tokens": 3}})
    for prompt in ("one", "two"):
        assert texts(prepared(shared, PLAIN, prompt, options)) == {
            "text_input": b"\x04\0\0\0mine",
            "max_tokens": b"\x03\0\0\0",
        }


class Moody(PlainBackend):
    """Sends a second input for some prompts only."""

    def prompt_values(self, prompt, signature):
        return {"text_input": prompt} | ({"max_tokens": 1} if prompt.endswith("?") else {})


@pytest.mark.parametrize("prompts", [("A.", "B?", "C."), ("A?", "B.", "C?")])
def test_a_backend_may_send_other_inputs_for_another_prompt(prompts):
    shared, options = RequestCache(), CallOptions()
    for prompt in prompts:
        sent = texts(prepared(shared, PLAIN, prompt, options, backend=Moody()))
        assert ("max_tokens" in sent) == prompt.endswith("?")
        assert sent["text_input"][4:] == prompt.encode()


class Encoded(PlainBackend):
    """Sends the prompt as bytes of its own making."""

    def prompt_values(self, prompt, signature):
        return {"text_input": prompt.encode("utf-16")}


def test_a_backend_may_write_the_prompt_in_its_own_way():
    shared, options = RequestCache(), CallOptions()
    for prompt in ("one", "two"):
        sent = texts(prepared(shared, PLAIN, prompt, options, backend=Encoded()))
        assert sent["text_input"][4:] == prompt.encode("utf-16")


def test_a_prompt_that_the_backend_changes_from_text_to_bytes_is_sent_as_it_is():
    class Either(PlainBackend):
        def prompt_values(self, prompt, signature):
            return {"text_input": prompt if prompt.isascii() else prompt.encode("latin-1")}

    shared, options = RequestCache(), CallOptions()
    for prompt, content in (("plain", b"plain"), ("größer", "größer".encode("latin-1"))):
        assert texts(prepared(shared, PLAIN, prompt, options, backend=Either()))["text_input"][4:] == content


def test_nobody_is_warned_without_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared(RequestCache(), PLAIN)


# Parameters, and outputs besides the text


def sent_parameters(request):
    return {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in request.message.parameters.items()
    }


@pytest.mark.parametrize("alone", [False, True])
def test_each_request_has_the_parameters_of_its_own_options(alone):
    cache = RequestCache()
    backend = one_by_one(PlainBackend()) if alone else PlainBackend()
    one, two = (
        CallOptions().override({"parameters": given}) for given in ({"a": 1}, {"a": 2**64 - 1, "b": "x"})
    )
    final = {"triton_enable_empty_final_response": True}
    for _ in range(2):
        for options, wanted in ((one, {"a": 1}), (two, {"a": 2**64 - 1, "b": "x"}), (CallOptions(), {})):
            request = prepared(cache, PLAIN, options=options, backend=backend)
            assert sent_parameters(request) == wanted | final


def test_a_client_with_parameters_makes_its_template_once():
    cache = RequestCache()
    options = CallOptions().override({"parameters": {"priority": 1}})
    prepared(cache, PLAIN, options=options)
    (template,) = cache._kept.values()
    request = prepared(cache, PLAIN, prompt="Ho", options=options)
    assert [*cache._kept.values()] == [template]
    assert sent_parameters(request)["priority"] == 1


def with_outputs(*names):
    return CallOptions().override({"outputs": names})


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    ("signature", "names", "switches"),
    [
        (ENSEMBLE, ["context_logits"], ["return_context_logits"]),
        (
            ENSEMBLE,
            ["generation_logits", "context_logits"],
            ["return_context_logits", "return_generation_logits"],
        ),
        (ENSEMBLE, ["text_output"], []),
        (VLLM, ["finish_reason"], ["return_finish_reason"]),
        (PLAIN, ["text_output"], []),
    ],
    ids=str,
)
def test_outputs_are_asked_for_by_the_inputs_that_the_model_has_for_them(signature, names, switches, alone):
    signature = changed(
        signature,
        outputs={**signature.outputs, **{name: TensorSpec(name, "FP32") for name in names}},
        inputs={
            **signature.inputs,
            **{name: TensorSpec(name, "BOOL", (1,), optional=True) for name in switches},
        },
    )
    backend = one_by_one(detect(signature)) if alone else detect(signature)
    plain = texts(prepared(RequestCache(), signature, backend=backend))
    request = prepared(RequestCache(), signature, backend=backend, options=with_outputs(*names))
    assert request.extra_outputs == tuple(names)
    assert {
        name: raw for name, raw in texts(request).items() if raw == b"\1" and name in switches
    } == dict.fromkeys(switches, b"\1")
    assert texts(request).keys() == plain.keys() | switches


def test_outputs_are_checked_before_anything_is_sent():
    with pytest.raises(ConfigurationError, match=r"has no output 'text_outputs': did you mean 'text_output'"):
        prepared(RequestCache(), PLAIN, options=with_outputs("text_outputs"))


def test_where_the_server_lists_no_outputs_any_name_will_do():
    undeclared = changed(PLAIN, outputs={})

    class Any(PlainBackend):
        def check_signature(self, signature):
            pass

    request = prepared(RequestCache(), undeclared, backend=Any(), options=with_outputs("what"))
    assert request.extra_outputs == ("what",)


@pytest.mark.parametrize("name", ["output_log_probs", "cum_log_probs"])
def test_log_probabilities_of_tensorrt_llm_need_an_option_that_makes_it_compute_them(name):
    signature = changed(
        ENSEMBLE,
        outputs={**ENSEMBLE.outputs, name: TensorSpec(name, "FP32")},
        inputs={
            **ENSEMBLE.inputs,
            "return_log_probs": TensorSpec("return_log_probs", "BOOL", (1,), optional=True),
        },
    )
    with pytest.raises(ConfigurationError, match="only where top_k or top_p is given"):
        prepared(RequestCache(), signature, options=with_outputs(name))
    options = CallOptions().override({"outputs": [name], "top_k": 1})
    assert texts(prepared(RequestCache(), signature, options=options))["return_log_probs"] == b"\1"
