"""How many rows go into one request."""

from __future__ import annotations

import pytest
from core.replies import array_signature

from nupic_client._core.inference.batching import batched
from nupic_client.errors import ConfigurationError

TOLD = array_signature({"x": ("FP32", (2,))}, max_batch_size=4)
METADATA = array_signature({"x": ("FP32", (-1, 2))}, {"y": ("FP32", (-1, 3))})


@pytest.mark.parametrize(("asked", "size"), [(None, 4), (1, 1), (4, 4)])
def test_a_model_says_how_many_it_takes(asked, size):
    assert batched(TOLD, asked) == (TOLD, size)


@pytest.mark.parametrize("asked", [0, 5, True, 1.5, "2"])
def test_more_or_less_is_refused(asked):
    with pytest.raises(
        ConfigurationError, match="batch_size must be from 1 to 4, the most that model 'model' takes"
    ):
        batched(TOLD, asked)


def test_metadata_alone_make_no_batches():
    assert batched(METADATA, None) == (METADATA, 1)


def test_the_caller_may_know_the_batch_of_metadata():
    signature, size = batched(METADATA, 8)
    assert (signature.max_batch_size, size) == (8, 8)
    assert (signature.inputs["x"].shape, signature.outputs["y"].shape) == ((2,), (3,))
    with pytest.raises(ConfigurationError, match="batch_size must be a whole number above 0"):
        batched(METADATA, 0)


@pytest.mark.parametrize(
    "signature",
    [
        array_signature({"x": ("FP32", (-1, 2))}, {"y": ("FP32", (3,))}),
        array_signature({"x": ("FP32", (-1, 2)), "k": ("INT32", (1,))}, {"y": ("FP32", (-1, 3))}),
        array_signature({"x": ("FP32", (-1, 2))}, {"y": ("FP32", (-1, 3))}, backend="onnxruntime"),
        array_signature({}, {}),
    ],
)
def test_what_is_no_batch_is_none(signature):
    assert batched(signature, 1) == (signature, 1)
    with pytest.raises(ConfigurationError, match="from 1 to 1"):
        batched(signature, 2)
