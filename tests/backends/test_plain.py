from __future__ import annotations

import pytest
from core.replies import signature

from nupic_client.backends.plain import PlainBackend
from nupic_client.backends.protocol import OutputNames
from nupic_client.errors import ConfigurationError
from nupic_client.sampling import OPTION_NAMES, SamplingParams

BACKEND = PlainBackend()
FULL = {
    "max_tokens": ("INT32", 5),
    "temperature": ("FP32", 0.5),
    "top_p": ("FP64", 0.5),
    "top_k": ("UINT32", 40),
    "min_p": ("FP16", 0.25),
    "stop": ("BYTES", ("a", "b")),
    "seed": ("UINT64", 2**64 - 1),
    "repetition_penalty": ("FP32", 1.5),
    "presence_penalty": ("FP32", -1.0),
    "frequency_penalty": ("FP32", 2.0),
}


def sent(takes, prompt="Hi", **options):
    """Return the inputs as name -> (datatype, shape, values)."""
    tensors = BACKEND.inputs(takes, prompt, SamplingParams(**options))
    return {tensor.name: (tensor.datatype, tensor.shape, tensor.values) for tensor in tensors}


def test_its_name_is_plain():
    assert BACKEND.name == "plain"


def test_the_prompt_is_the_text_input():
    assert sent(signature()) == {"text_input": ("BYTES", (1,), ("Hi",))}


def test_a_model_with_batches_gets_a_batch_of_one():
    assert sent(signature(max_batch_size=8)) == {"text_input": ("BYTES", (1, 1), ("Hi",))}


def test_the_table_of_this_test_has_every_option():
    assert set(FULL) == set(OPTION_NAMES)


@pytest.mark.parametrize("option", OPTION_NAMES)
def test_an_option_is_sent_as_the_type_that_the_model_declares(option):
    datatype, value = FULL[option]
    takes = signature((option, datatype, (-1,)))
    assert BACKEND.supports(option, takes)
    values = value if isinstance(value, tuple) else (value,)
    assert sent(takes, **{option: value})[option] == (datatype, (len(values),), values)


@pytest.mark.parametrize("option", OPTION_NAMES)
def test_an_option_without_an_input_is_left_out(option):
    assert not BACKEND.supports(option, signature())
    assert set(sent(signature(), **{option: FULL[option][1]})) == {"text_input"}


def test_an_option_that_is_not_given_is_not_sent():
    assert set(sent(signature(("temperature", "FP32")))) == {"text_input"}


@pytest.mark.parametrize("takes", [signature(outputs=(("logits", "FP32"),)), signature(outputs=())])
def test_a_model_that_gives_no_text_is_an_error(takes):
    with pytest.raises(
        ConfigurationError,
        match="must have the input 'text_input' and the output 'text_output' for backend 'plain'",
    ):
        sent(takes)


EXTRAS = ["finish_reason", "num_input_tokens", "num_output_tokens"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_the_model_offers_besides_the_text_is_asked_for(extra):
    takes = signature((f"return_{extra}", "BOOL"), outputs=(("text_output", "BYTES"), (extra, "BYTES")))
    assert sent(takes)[f"return_{extra}"] == ("BOOL", (1,), (True,))
    output_names = BACKEND.output_names(takes, cumulative=None)
    assert [output_names.finish_reason, output_names.input_tokens, output_names.output_tokens] == [
        extra if name == extra else None for name in EXTRAS
    ]


@pytest.mark.parametrize(
    "takes",
    [
        signature(("return_finish_reason", "BOOL")),
        signature(outputs=(("text_output", "BYTES"), ("finish_reason", "BYTES"))),
        signature(
            ("return_finish_reason", "INT32"), outputs=(("text_output", "BYTES"), ("finish_reason", "BYTES"))
        ),
    ],
    ids=["no output", "no switch", "another type"],
)
def test_half_an_offer_is_none(takes):
    assert set(sent(takes)) == {"text_input"}
    assert BACKEND.output_names(takes, cumulative=True) == OutputNames(text="text_output", cumulative=True)


@pytest.mark.parametrize(
    ("datatype", "shape"), [("BYTES", (1,)), ("BOOL", (-1,))], ids=["room for one", "another type"]
)
def test_stop_strings_that_do_not_fit_the_models_input_are_left_to_the_client(datatype, shape):
    assert set(sent(signature(("stop", datatype, shape)), stop=["a", "b"])) == {"text_input"}


def test_a_stop_string_that_fits_is_sent():
    assert sent(signature(("stop", "BYTES", (1,))), stop="a")["stop"] == ("BYTES", (1,), ("a",))
