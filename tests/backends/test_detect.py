from __future__ import annotations

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
    without,
)

from nupic_client import SamplingParams, StreamingClient
from nupic_client.backends import (
    BACKENDS,
    Backend,
    PlainBackend,
    TensorBackend,
    VllmBackend,
    backend_of,
    detect,
)
from nupic_client.errors import ConfigurationError

PASCAL = changed(PLAIN, inputs=specs("PROMPT! BYTES\nTEMPERATURE FP32"), outputs=results("COMPLETION BYTES"))


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        (VLLM, "vllm"),
        (changed(VLLM, backend="python"), "vllm"),
        (without(VLLM, "sampling_parameters"), "vllm"),
        (ENSEMBLE, "trtllm"),
        (BLS, "trtllm"),
        (BLS_ACCUMULATING, "trtllm"),
        (changed(ENSEMBLE, max_batch_size=0, decoupled=False), "trtllm"),
        (without(ENSEMBLE, "stop_words"), "trtllm"),
        (without(ENSEMBLE, "bad_words"), "trtllm"),
        (without(ENSEMBLE, "bad_words", "stop_words"), "plain"),
        (LLMAPI, "trtllm_llmapi"),
        (changed(LLMAPI, decoupled=False), "trtllm_llmapi"),
        (ENGINE, "trtllm_engine"),
        (changed(ENGINE, backend="python"), "trtllm_engine"),
        (PLAIN, "plain"),
        (changed(PLAIN, backend="", platform="pytorch_libtorch"), "plain"),
    ],
)
def test_a_backend_is_known_by_its_tensors(signature, name):
    assert detect(signature).name == name


def test_every_backend_is_one():
    assert all(isinstance(backend, Backend) for backend in BACKENDS)
    assert len({backend.name for backend in BACKENDS}) == len(BACKENDS) == 6


@pytest.mark.parametrize(
    "signature",
    [
        PASCAL,
        changed(PLAIN, outputs=results("logits FP32")),
        changed(VLLM, outputs={}),
        changed(PLAIN, inputs={}, outputs={}),
    ],
)
def test_an_unknown_kind_of_model_is_an_error_that_lists_its_tensors(signature):
    with pytest.raises(ConfigurationError, match="give backend=") as caught:
        detect(signature)
    text = str(caught.value)
    for spec in (*signature.inputs.values(), *signature.outputs.values()):
        assert f"{spec.name} {spec.datatype}" in text
    for backend in BACKENDS:
        assert repr(backend.name) in text


def test_a_text_in_and_a_text_out_under_other_names_is_suggested():
    with pytest.raises(
        ConfigurationError, match=r"perhaps PlainBackend\(prompt='PROMPT', text='COMPLETION'\)"
    ):
        detect(PASCAL)


def test_where_it_is_ambiguous_nothing_is_suggested():
    two = changed(PASCAL, outputs=results("A BYTES\nB BYTES"))
    with pytest.raises(ConfigurationError) as caught:
        detect(two)
    assert "perhaps" not in str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_a_backend_may_be_named(backend):
    assert backend_of(backend.name) is backend


def test_a_backend_may_be_an_object_or_left_open():
    own = PlainBackend(prompt="A", text="B")
    assert backend_of(own) is own
    assert backend_of(None) is None


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ConfigurationError, match="no backend 'vlm': did you mean 'vllm'\\? the backends are 'vllm', "
    ):
        backend_of("vlm")


@pytest.mark.parametrize("wrong", [VllmBackend, 5, object()])
def test_what_is_no_backend_is_refused_by_the_client(wrong):
    with pytest.raises(ConfigurationError, match="backend must be a name or an object"):
        StreamingClient("m", backend=wrong)


def test_the_named_backend_wins_over_detection():
    backend = backend_of("plain")
    names = {tensor.name for tensor in backend.inputs(VLLM, "Hi", sampling())}
    assert "sampling_parameters" not in names


def sampling(**options):
    return SamplingParams(**options)


def test_a_named_backend_that_cannot_fit_says_what_it_expected():
    with pytest.raises(
        ConfigurationError,
        match=r"'text_input' and the output 'text_output' for backend 'vllm', not .*'PROMPT'",
    ):
        backend_of("vllm").inputs(PASCAL, "Hi", sampling())


def test_a_backend_of_your_own_is_a_few_names():
    class Acme(TensorBackend):
        name = "acme"
        prompt = "PROMPT"
        text = "COMPLETION"
        options: ClassVar = {"temperature": ("TEMP", "TEMPERATURE")}

    tensors = Acme().inputs(PASCAL, "Hi", sampling(temperature=0.5))
    assert [(tensor.name, tensor.values) for tensor in tensors] == [
        ("PROMPT", ("Hi",)),
        ("TEMPERATURE", (0.5,)),
    ]
    assert Acme().supports("temperature", PASCAL)
    assert not Acme().supports("top_p", PASCAL)
    assert not Acme().supports("logprobs", PASCAL)
    assert Acme().output_names(PASCAL, cumulative=None).cumulative is None


def test_an_input_that_only_has_the_name_of_a_switch_is_left_alone():
    odd = changed(PLAIN, inputs={**PLAIN.inputs, **specs("stream INT32\nexclude_input_in_output BYTES")})
    assert [tensor.name for tensor in PlainBackend().inputs(odd, "Hi", sampling())] == ["text_input"]
    assert PlainBackend().output_names(odd, cumulative=None, stream=False).echo
