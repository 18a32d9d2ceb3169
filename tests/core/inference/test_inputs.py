"""What a caller gives as inputs, matched with the model's names, data types, shapes and batch."""

from __future__ import annotations

import numpy as np
import pytest
from core.replies import array_signature

from nupic_client._core.inference.inputs import EncodedBatch, encode_inputs
from nupic_client.errors import ConfigurationError
from nupic_client.infer_input import InferInput
from nupic_client.shared_memory_places import SharedMemoryTensor

FREE = array_signature({"x": ("INT32", (-1, -1))})
BATCHED = array_signature({"x": ("INT32", (3,))}, max_batch_size=4)
TEXTS = array_signature({"text": ("BYTES", (1,))}, max_batch_size=8)
PAIR = array_signature({"ids": ("INT32", (-1,)), "mask": ("INT64", (-1,))}, max_batch_size=4)
OPTIONAL = array_signature({"x": ("FP32", (1,)), "scale": ("FP32", (1,))}, optional=("scale",))
SCALAR = array_signature({"x": ("INT32", ())})


def shape(signature, value):
    (tensor,) = encode_inputs(signature, value).tensors
    return tensor.shape


def content(tensor):
    return b"".join(bytes(part) for part in tensor.contents)


# Names


def test_the_value_of_the_only_input_needs_no_name():
    named, unnamed = encode_inputs(BATCHED, {"x": [1, 2, 3]}), encode_inputs(BATCHED, [1, 2, 3])
    assert [tensor.name for tensor in unnamed.tensors] == ["x"]
    assert content(named.tensors[0]) == content(unnamed.tensors[0]) == np.int32([1, 2, 3]).tobytes()


def test_inputs_keep_the_order_of_the_caller():
    batch = encode_inputs(PAIR, {"mask": [1], "ids": [2]})
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in batch.tensors] == [
        ("mask", "INT64", (1, 1)),
        ("ids", "INT32", (1, 1)),
    ]


def test_the_only_required_input_is_the_one_that_is_meant():
    assert [tensor.name for tensor in encode_inputs(OPTIONAL, 1.0).tensors] == ["x"]
    assert [tensor.name for tensor in encode_inputs(OPTIONAL, {"scale": 2, "x": 1}).tensors] == ["scale", "x"]


def test_where_all_are_optional_the_only_one_is_meant():
    model = array_signature({"x": ("FP32", (1,))}, optional=("x",))
    assert [tensor.name for tensor in encode_inputs(model, 1.0).tensors] == ["x"]


@pytest.mark.parametrize(
    "model",
    [
        PAIR,
        array_signature({"a": ("FP32", (1,)), "b": ("FP32", (1,))}, optional=("a", "b")),
        array_signature({}),
    ],
    ids=["two", "two optional", "none"],
)
def test_a_single_value_for_another_number_of_inputs_is_an_error(model):
    with pytest.raises(ConfigurationError, match="'model'") as caught:
        encode_inputs(model, [1])
    assert all(repr(name) in str(caught.value) for name in model.inputs)


def test_an_unknown_input_is_named_and_so_is_the_nearest_one():
    with pytest.raises(ConfigurationError, match=r"'id'.*'ids'"):
        encode_inputs(PAIR, {"id": [1], "mask": [1]})


@pytest.mark.parametrize(
    ("model", "given", "missing"),
    [(PAIR, {"ids": [1]}, "'mask'"), (PAIR, {}, "'ids', 'mask'"), (OPTIONAL, {"scale": 1.0}, "'x'")],
)
def test_each_input_that_is_missing_is_named(model, given, missing):
    with pytest.raises(ConfigurationError, match=missing):
        encode_inputs(model, given)


@pytest.mark.parametrize("size", [0, 4])
@pytest.mark.parametrize("optional", [("x",), ()])
def test_a_request_may_have_no_inputs_where_none_is_required(size, optional):
    """I-F4."""
    model = array_signature(dict.fromkeys(optional, ("FP32", (1,))), optional=optional, max_batch_size=size)
    assert encode_inputs(model, {}) == EncodedBatch((), None)


def test_a_value_of_another_type_is_an_error_with_the_name_of_the_input():
    with pytest.raises(ConfigurationError, match="'mask'"):
        encode_inputs(PAIR, {"ids": [1], "mask": ["a"]})


# Shapes


@pytest.mark.parametrize(
    ("model", "value", "expected"),
    [
        (FREE, [[1, 2]], (1, 2)),
        (FREE, np.zeros((0, 5), np.int32), (0, 5)),
        (FREE, 1, (1, 1)),
        (SCALAR, 1, ()),
        (BATCHED, [1, 2, 3], (1, 3)),
        (BATCHED, [[1, 2, 3]] * 4, (4, 3)),
        (TEXTS, "a", (1, 1)),
        (TEXTS, np.array("a"), (1, 1)),
        (TEXTS, ["a"], (1, 1)),
        (TEXTS, ["a", "b"], (2, 1)),
        (TEXTS, [["a"], ["b"], ["c"]], (3, 1)),
        (array_signature({"x": ("INT32", (-1, 1, 1))}), [1, 2], (2, 1, 1)),
        (array_signature({"x": ("INT32", (1, 1))}), 1, (1, 1)),
        (array_signature({"x": ("INT32", (-1, 2))}, max_batch_size=2), [[1, 2]] * 3, (1, 3, 2)),
        (array_signature({"x": ("INT32", ())}, max_batch_size=2), [1, 2], (2,)),
        (array_signature({"x": ("INT32", (1,))}, max_batch_size=2), [1, 2], (2, 1)),
    ],
)
def test_what_may_be_left_out_is_filled_in(model, value, expected):
    assert shape(model, value) == expected


def test_of_two_ways_to_read_a_shape_the_one_that_leaves_nothing_out_counts():
    model = array_signature({"x": ("INT32", (-1,))}, max_batch_size=4)
    assert shape(model, [[1, 2]]) == (1, 2)
    assert shape(model, [1, 2]) == (1, 2)


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (FREE, [1, 2]),
        (FREE, [[[1]]]),
        (BATCHED, [1, 2]),
        (BATCHED, [[1, 2]] * 3),
        (BATCHED, [[[1, 2, 3]]]),
        (BATCHED, 1),
        (SCALAR, [1]),
        (TEXTS, [["a", "b"]]),
        (array_signature({"x": ("INT32", (-1, 3))}), [1, 2, 3]),
    ],
)
def test_another_shape_is_an_error_with_the_name_of_the_input(model, value):
    with pytest.raises(ConfigurationError, match=next(iter(model.inputs))):
        encode_inputs(model, value)


def test_the_error_has_both_shapes_and_says_what_the_first_dimension_is():
    with pytest.raises(ConfigurationError) as caught:
        encode_inputs(BATCHED, np.zeros((2, 5), np.int32))
    assert "[batch, 3]" in str(caught.value)
    assert "[2, 5]" in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        encode_inputs(FREE, [1])
    assert "[any, any]" in str(caught.value)
    assert "batch" not in str(caught.value)


# The batch


def test_the_rows_are_those_of_the_first_dimension():
    assert encode_inputs(BATCHED, [[1, 2, 3]] * 4).rows == 4
    assert encode_inputs(BATCHED, [1, 2, 3]).rows == 1
    assert encode_inputs(FREE, [[1], [2]]).rows is None


def test_a_batch_that_is_too_large_is_an_error_with_both_sizes():
    with pytest.raises(ConfigurationError, match="'x'") as caught:
        encode_inputs(BATCHED, [[1, 2, 3]] * 5)
    assert " 4" in str(caught.value)
    assert " 5" in str(caught.value)
    assert "batch_size" in str(caught.value)


def test_all_inputs_have_the_same_rows():
    with pytest.raises(ConfigurationError, match="'mask'") as caught:
        encode_inputs(PAIR, {"ids": [[1], [2]], "mask": [1]})
    assert "'ids'" in str(caught.value)


# Several as one


def batch(*rows, model=BATCHED):
    return encode_inputs(model, [[number] * 3 for number in rows])


def test_batches_are_joined_row_after_row():
    joined = EncodedBatch.joined([batch(1), batch(2, 3)])
    (tensor,) = joined.tensors
    assert (joined.rows, tensor.name, tensor.datatype, tensor.shape) == (3, "x", "INT32", (3, 3))
    assert content(tensor) == np.int32([[1] * 3, [2] * 3, [3] * 3]).tobytes()


def test_one_batch_is_itself():
    only = batch(1)
    assert EncodedBatch.joined([only]) is only


def test_each_input_is_joined_with_its_like():
    parts = [encode_inputs(PAIR, {"ids": [[n]], "mask": [[-n]]}) for n in (1, 2)]
    ids, mask = EncodedBatch.joined(iter(parts)).tensors
    assert (ids.name, content(ids)) == ("ids", np.int32([1, 2]).tobytes())
    assert (mask.name, content(mask)) == ("mask", np.int64([-1, -2]).tobytes())


def test_batches_fit_that_differ_in_their_rows_only():
    assert batch(1).fits(batch(2, 3))
    pair = encode_inputs(PAIR, {"ids": [1], "mask": [1]})
    assert pair.fits(encode_inputs(PAIR, {"ids": [2], "mask": [2]}))
    assert not pair.fits(encode_inputs(PAIR, {"ids": [1, 2], "mask": [1, 2]}))
    assert not pair.fits(encode_inputs(PAIR, {"mask": [1], "ids": [1]}))


def test_without_a_batch_nothing_fits():
    alone = encode_inputs(FREE, [[1, 1, 1]])  # of the same shape as `batch(1)`
    assert not alone.fits(alone)
    assert not alone.fits(batch(1))
    assert not batch(1).fits(alone)


def test_an_input_without_rows_is_sent_by_itself():
    none, one = (encode_inputs(BATCHED, np.ones((rows, 3), np.int32)) for rows in (0, 1))
    assert (none.rows, one.rows) == (0, 1)
    assert not none.fits(one)
    assert not one.fits(none)
    assert not none.fits(none)


# Parameters of single inputs


def test_an_input_may_have_parameters_of_its_own():
    batch = encode_inputs(PAIR, {"ids": InferInput([1], {"content_type": "np"}), "mask": [1]})
    assert [dict(tensor.parameters) for tensor in batch.tensors] == [{"content_type": "np"}, {}]
    assert content(batch.tensors[0]) == np.int32([1]).tobytes()
    (only,) = encode_inputs(BATCHED, InferInput([1, 2, 3], {"a": 1})).tensors
    assert (only.shape, only.parameters) == ((1, 3), {"a": 1})


def test_an_input_that_is_not_listed_may_have_parameters():
    undeclared = array_signature({})
    (tensor,) = encode_inputs(undeclared, {"x": InferInput(np.int8([1]), {"a": 1})}).tensors
    assert (tensor.datatype, tensor.parameters) == ("INT8", {"a": 1})


def test_inputs_with_other_parameters_are_not_joined():
    plain, one, same, other = (
        encode_inputs(BATCHED, InferInput([1, 2, 3], parameters))
        for parameters in ({}, {"a": 1}, {"a": 1}, {"a": 2})
    )
    assert one.fits(same)
    assert not one.fits(plain)
    assert not one.fits(other)
    (tensor,) = EncodedBatch.joined([one, same]).tensors
    assert (tensor.shape, tensor.parameters) == ((2, 3), {"a": 1})


def test_inputs_in_shared_memory_are_not_joined():
    """Not even those at the same place: they have no contents that could follow one another."""
    tensor = SharedMemoryTensor(region="a", byte_size=12, datatype="INT32", shape=(3,))
    batch, sent = encode_inputs(BATCHED, {"x": tensor}), encode_inputs(BATCHED, [1, 2, 3])
    assert (batch.rows, batch.tensors[0].shape, batch.tensors[0].contents) == (1, (1, 3), ())
    assert not batch.fits(batch)
    assert not batch.fits(sent)
    assert not sent.fits(batch)
    assert sent.fits(sent)
