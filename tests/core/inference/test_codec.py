"""Requests as bytes: what repeats an earlier one is written without its checks, and is the same message."""

from __future__ import annotations

import numpy as np
import pytest
from core.replies import array_signature, inference_request

from nupic_client._core.inference.codec import InferenceCodec
from nupic_client._core.kserve import wire
from nupic_client.errors import ConfigurationError
from nupic_client.infer_input import InferInput

TEXT = array_signature({"text": ("BYTES", (1,))}, max_batch_size=8)
NUMBERS = array_signature({"a": ("FP32", (-1, 2)), "b": ("INT64", (-1,))})
WIDE = array_signature({"w": ("BF16", (-1,))})


def codec(signature, **options):
    return InferenceCodec(inference_request(**options), signature)


def message(data):
    return wire.pb.ModelInferRequest.FromString(data)


def fresh(signature, inputs, **options):
    """Return the message that a codec writes which has seen nothing."""
    return message(codec(signature, **options).write(inputs, "id"))


VALUES = [
    (TEXT, ["a"]),
    (TEXT, ["a", "bc"]),
    (TEXT, ["ä€😀"]),
    (TEXT, "one"),
    (TEXT, {"text": ["a"]}),
    (TEXT, [["a"], ["b"]]),
    (TEXT, [b"bytes"]),
    (TEXT, np.array(["x", "y"], object)),
    (NUMBERS, {"a": np.ones((3, 2), np.float32), "b": np.arange(3)}),
    (NUMBERS, {"b": np.arange(3), "a": np.ones((3, 2), np.float32)}),
    (NUMBERS, {"a": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2)), "b": np.arange(8)[::2]}),
    (NUMBERS, {"a": np.ones((0, 2), np.float32), "b": np.arange(0)}),
    (NUMBERS, {"a": np.ones((1, 2), ">f4"), "b": [1, 2]}),
    (NUMBERS, {"a": [[1, 2]], "b": range(2)}),
    (WIDE, np.ones(3, np.float32)),
    (WIDE, {"w": InferInput(np.ones(3, np.float32), parameters={"content_type": "np"})}),
]


@pytest.mark.parametrize(("signature", "inputs"), VALUES)
def test_a_repeated_request_is_the_same_message(signature, inputs):
    made = codec(signature, outputs=None, parameters={"p": 1})
    for number in range(4):
        again = message(made.write(inputs, f"id-{number}"))
        assert again.id == f"id-{number}"
        again.id = "id"
        assert again == fresh(signature, inputs, parameters={"p": 1})


def test_requests_of_all_kinds_may_be_mixed():
    for wanted in (TEXT, NUMBERS, WIDE):
        made = codec(wanted)
        for _ in range(3):
            for signature, inputs in VALUES:
                if signature is wanted:
                    assert message(made.write(inputs, "id")) == fresh(signature, inputs)


@pytest.mark.parametrize(
    ("signature", "good", "bad"),
    [
        (TEXT, ["a"], ["\ud800"]),
        (TEXT, ["a"], [1]),
        (TEXT, ["a"], [None]),
        (TEXT, ["a"], ["a"] * 9),
        (TEXT, "a", "\udfff"),
        (TEXT, {"text": ["a"]}, {"texts": ["a"]}),
        (TEXT, {"text": ["a"]}, {}),
        (NUMBERS, VALUES[8][1], {"a": np.ones((3, 2)), "b": np.arange(3)}),
        (NUMBERS, VALUES[8][1], {"a": np.ones((3, 3), np.float32), "b": np.arange(3)}),
        (NUMBERS, VALUES[8][1], {"a": np.ones((3, 2), np.float32)}),
        (NUMBERS, VALUES[8][1], {"a": np.ma.ones((3, 2), np.float32), "b": np.arange(3)}),
        (WIDE, np.ones(3, np.float32), np.ones(3)),
    ],
)
def test_what_does_not_fit_is_refused_after_others_that_did(signature, good, bad):
    made = codec(signature)
    made.write(good, "id")
    made.write(good, "id")
    with pytest.raises(ConfigurationError):
        made.write(bad, "id")


def test_rows_of_different_number_are_refused_though_each_was_sent_before():
    batched = array_signature({"a": ("FP32", (2,)), "b": ("FP32", (2,))}, max_batch_size=4)
    made = codec(batched)
    one, two = np.ones((1, 2), np.float32), np.ones((2, 2), np.float32)
    made.write({"a": one, "b": one}, "id")
    made.write({"a": two, "b": two}, "id")
    with pytest.raises(ConfigurationError, match="batch size"):
        made.write({"a": one, "b": two}, "id")


def test_an_array_may_change_between_its_requests():
    made = codec(WIDE.__class__("m", {"x": array_signature({"x": ("INT64", (-1,))}).inputs["x"]}, {}))
    array = np.arange(3)
    for _ in range(3):
        array += 1
        assert message(made.write(array, "id")).raw_input_contents[0] == array.tobytes()


def test_a_bare_value_is_that_of_the_only_required_input(monkeypatch):
    """With optional ones beside it a repeated request is written in the short way too."""
    inputs = {"x": ("INT64", (-1,)), "y": ("INT64", (-1,))}
    made = codec(array_signature(inputs, optional={"y"}))
    for _ in range(3):
        assert [it.name for it in message(made.write(np.arange(3), "id")).inputs] == ["x"]
    monkeypatch.setattr("nupic_client._core.inference.codec.encode_inputs", None)
    assert message(made.write(np.arange(3), "id")).raw_input_contents[0] == np.arange(3).tobytes()


def test_what_is_remembered_is_bounded():
    made = codec(array_signature({"x": ("INT64", (-1,))}))
    for length in range(1000):
        made.write(np.arange(length), "id")
    assert len(made._heads) <= 256


def test_a_model_without_declared_inputs():
    made = codec(array_signature({}))
    for _ in range(2):
        sent = message(made.write({"x": np.ones(2)}, "id"))
        assert [(item.name, item.datatype) for item in sent.inputs] == [("x", "FP64")]
    with pytest.raises(ConfigurationError, match="mapping"):
        made.write(np.ones(2), "id")
