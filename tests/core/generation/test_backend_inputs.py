"""The inputs of a request: the caller's own put over the backend's, JSON merged into JSON, and none missing."""

from __future__ import annotations

import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from backends.signatures import PLAIN, changed
from core.replies import raw_bytes, signature

from nupic_client._core.generation.backend_inputs import check_filled, with_inputs
from nupic_client._core.kserve import wire
from nupic_client.errors import ConfigurationError
from nupic_client.infer_input import InferInput
from nupic_client.signature import InputTensor, TensorSpec

MODEL = signature(("max_tokens", "INT32"), ("sampling_parameters", "BYTES"), ("ids", "INT64", (-1,)))
TEXT = InputTensor("text_input", "BYTES", (1,), ("Hi",))
TOKENS = InputTensor("max_tokens", "INT32", (1,), (5,))
SAMPLING = InputTensor("sampling_parameters", "BYTES", (1,), ('{"temperature": 1, "top_k": 2}',))


def added(tensors, extra, model=MODEL):
    return with_inputs(tensors, model, extra)


def test_without_extra_inputs_nothing_changes():
    assert added([TEXT, TOKENS], {}) == [TEXT, TOKENS]


def test_an_extra_input_is_made_as_the_model_declares_it():
    assert added([TEXT], {"max_tokens": 7}) == [TEXT, InputTensor("max_tokens", "INT32", (1,), (7,))]
    batched = signature(("max_tokens", "INT32"), max_batch_size=4)
    assert added([], {"max_tokens": 7}, batched) == [InputTensor("max_tokens", "INT32", (1, 1), (7,))]


def test_a_list_fills_a_free_dimension():
    assert added([], {"ids": [1, 2, 3]}) == [InputTensor("ids", "INT64", (3,), (1, 2, 3))]


def test_an_extra_input_takes_the_place_of_the_backends():
    assert added([TEXT, TOKENS], {"text_input": "Ho"}) == [
        InputTensor("text_input", "BYTES", (1,), ("Ho",)),
        TOKENS,
    ]


def test_the_inputs_of_the_backend_are_left_alone():
    tensors = [TEXT]
    added(tensors, {"max_tokens": 7})
    assert tensors == [TEXT]


def test_an_input_that_the_model_does_not_have_is_named():
    with pytest.raises(ConfigurationError, match="no input 'max_token'") as caught:
        added([], {"max_token": 7})
    assert "max_tokens" in str(caught.value)


@pytest.mark.parametrize("extra", [{"max_tokens": "seven"}, {"max_tokens": [1, 2]}, {"max_tokens": True}])
def test_a_value_that_does_not_fit_is_an_error_with_the_name_of_the_input(extra):
    with pytest.raises(ConfigurationError, match="'max_tokens'"):
        added([], extra)


# JSON


def sent_json(tensors, value):
    (*_, tensor) = added(tensors, {"sampling_parameters": value})
    return json.loads(tensor.values[0])


def test_a_mapping_is_sent_as_json():
    assert sent_json([TEXT], {"top_k": 3, "nested": {"a": [1, None]}}) == {
        "top_k": 3,
        "nested": {"a": [1, None]},
    }


def test_a_mapping_is_put_over_the_json_of_the_backend():
    assert sent_json([SAMPLING], {"top_k": 3, "min_p": 0.1}) == {"temperature": 1, "top_k": 3, "min_p": 0.1}


def test_a_text_replaces_the_json_of_the_backend():
    (tensor,) = added([SAMPLING], {"sampling_parameters": "{}"})
    assert tensor.values == ("{}",)


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {("a", "b"): 1}, {"a": b"x"}])
def test_what_json_cannot_say_is_an_error_with_the_name_of_the_input(value):
    with pytest.raises(ConfigurationError, match="'sampling_parameters'"):
        added([SAMPLING], {"sampling_parameters": value})


def test_a_mapping_over_what_is_no_json_is_an_error():
    with pytest.raises(ConfigurationError, match="'text_input'"):
        added([TEXT], {"text_input": {"a": 1}})


# None missing


def test_optional_inputs_may_be_missing():
    check_filled([TEXT], MODEL)
    check_filled([TEXT, TOKENS], MODEL)


def test_each_required_input_that_is_missing_is_named():
    model = signature(("a", "INT32", (1,), False), ("b", "INT32", (1,), False), ("c", "INT32"))
    tensor = InputTensor("b", "INT32", (1,), (1,))
    with pytest.raises(ConfigurationError, match="'text_input', 'a'") as caught:
        check_filled([tensor], model)
    assert "'b'" not in str(caught.value)
    assert "'c'" not in str(caught.value)


# P-F9: whatever a model's inputs are


LORA = signature(
    ("lora_task_id", "UINT64"),
    ("lora_weights", "FP16", (-1, -1)),
    ("lora_config", "INT32", (-1, 3)),
    ("prompt_embedding_bf16", "BF16", (-1, -1)),
    ("bias", "BF16", (-1,)),
    ("words", "BYTES", (-1,)),
    ("flag", "BOOL"),
    max_batch_size=8,
)
WEIGHTS = np.arange(32, dtype=np.float16).reshape(4, 8)


def encoded(name, value, model=LORA):
    """Return shape and contents of an input as it is sent."""
    message = wire.build_infer_request("m", added([], {name: value}, model))
    return tuple(message.inputs[0].shape), message.raw_input_contents[0]


@pytest.mark.parametrize(
    "value", [WEIGHTS, WEIGHTS.tolist(), WEIGHTS[None], tuple(map(tuple, WEIGHTS.tolist()))]
)
def test_a_matrix_is_sent_with_its_shape(value):
    """P-F9."""
    assert encoded("lora_weights", value) == ((1, 4, 8), WEIGHTS.tobytes())


def test_all_of_a_lora_can_be_sent():
    """P-F9, the report's own example."""
    config = np.array([[1, 0, 8], [2, 0, 8]], np.int32)
    extra = {"lora_task_id": 1, "lora_weights": WEIGHTS, "lora_config": config}
    message = wire.build_infer_request("m", added([], extra, LORA))
    assert [list(item.shape) for item in message.inputs] == [[1, 1], [1, 4, 8], [1, 2, 3]]
    assert message.raw_input_contents[2] == config.tobytes()


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("prompt_embedding_bf16", [[1.0, 2.0]], ((1, 1, 2), b"\x80\x3f\x00\x40")),
        ("prompt_embedding_bf16", np.array([[1, 2]], ml_dtypes.bfloat16), ((1, 1, 2), b"\x80\x3f\x00\x40")),
        ("bias", [1.0, 2.0], ((1, 2), b"\x80\x3f\x00\x40")),
        ("bias", 1, ((1, 1), b"\x80\x3f")),
        ("lora_task_id", np.int64(7), ((1, 1), b"\7" + b"\0" * 7)),
        ("lora_task_id", 2**64 - 1, ((1, 1), b"\xff" * 8)),
        ("lora_task_id", np.array(7, np.uint64), ((1, 1), b"\7" + b"\0" * 7)),
        ("lora_weights", np.float32(1.5), ((1, 1, 1), np.float16(1.5).tobytes())),
        ("lora_config", [1, 2, 3, 4, 5, 6], ((1, 2, 3), np.arange(1, 7, dtype=np.int32).tobytes())),
        ("words", np.array(["a", "b"]), ((1, 2), raw_bytes(b"a", b"b"))),
        ("words", ["a", bytearray(b"b")], ((1, 2), raw_bytes(b"a", b"b"))),
        ("words", bytearray(b"ab"), ((1, 1), raw_bytes(b"ab"))),
        ("words", memoryview(b"ab"), ((1, 1), raw_bytes(b"ab"))),
        ("flag", np.bool_(True), ((1, 1), b"\1")),
        ("flag", [[True]], ((1, 1), b"\1")),
    ],
)
def test_what_infer_takes_is_taken(name, value, sent):
    """P-F9, P-F18."""
    assert encoded(name, value) == sent


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lora_weights", WEIGHTS.ravel().tolist(), r"must have the shape \[batch, any, any\].*, not \[32\]"),
        ("lora_weights", range(8), r"must have the shape .*, not \[8\]"),
        ("lora_weights", WEIGHTS.ravel(), r"not \[32\]"),
        ("lora_weights", WEIGHTS.astype(np.float32), "must be FP16, not an array of float32: convert it"),
        ("lora_weights", [[1.0], [2.0, 3.0]], "makes no array of"),
        ("lora_weights", np.stack([WEIGHTS, WEIGHTS]), "must have the batch size 1, not 2"),
        ("lora_weights", [[1e9]], "does not fit"),
        ("lora_weights", 2**12 + 1, "which does not fit"),
        ("lora_config", [[1, 2]], r"must have the shape \[batch, any, 3\]"),
        ("flag", np.int64(1), "must be BOOL, not 1"),
        ("lora_task_id", np.bool_(True), "must be UINT64, not True"),
        ("lora_task_id", {1}, "must be UINT64"),
        ("lora_task_id", None, "must be UINT64, not NoneType"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, value, message):
    """P-F9: the same checks as of infer."""
    with pytest.raises(ConfigurationError, match=f"'{name}'.*{message}"):
        added([], {name: value}, LORA)


def test_numbers_and_texts_are_sent_without_numpy():
    """P-F9: its import takes longer than a short answer."""
    program = """
import sys
from nupic_client import StreamingClient
from nupic_client.backends import ModelSignature, TensorSpec
from nupic_client._core.generation.backend_inputs import with_inputs
inputs = {"a": TensorSpec("a", "INT32"), "b": TensorSpec("b", "BYTES", (-1,)), "c": TensorSpec("c", "FP32", (-1,))}
with_inputs([], ModelSignature("m", inputs, {}), {"a": 1, "b": ["x", b"y"], "c": [0.5, 1]})
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_input_may_have_parameters_of_its_own():
    signature = changed(
        PLAIN,
        inputs={
            **PLAIN.inputs,
            "note": TensorSpec("note", "BYTES", (1,), optional=True),
            "grid": TensorSpec("grid", "INT32", (-1, -1), optional=True),
        },
    )
    made = {
        tensor.name: tensor
        for tensor in with_inputs(
            [],
            signature,
            {
                "note": InferInput("ä", {"content_type": "str"}),
                "grid": InferInput(np.int32([[1, 2]]), {"a": 1}),
                "max_tokens": InferInput(3),
            },
        )
    }
    assert (made["note"].parameters, made["note"].contents) == (
        {"content_type": "str"},
        (b"\2\0\0\0\xc3\xa4",),
    )
    assert (made["grid"].parameters, made["grid"].shape) == ({"a": 1}, (1, 2))
    assert made["max_tokens"].values == (3,)
    with pytest.raises(ConfigurationError, match="max_tokens"):
        with_inputs([], signature, {"max_tokens": InferInput(2**70, {"a": 1})})


def test_an_input_with_parameters_is_checked_as_one_without():
    signature = changed(PLAIN, inputs={**PLAIN.inputs, "n": TensorSpec("n", "INT32", (1,), optional=True)})
    with pytest.raises(ConfigurationError, match="must be 1, not 2"):
        with_inputs([], signature, {"n": InferInput(2, {"a": 1})})
