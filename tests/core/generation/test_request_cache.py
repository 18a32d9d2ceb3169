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
