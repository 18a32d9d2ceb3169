"""Inputs as a model declares them: shapes, batches, inputs that the server does not list, and those in shared memory."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from core.kserve.dlpack import OnlyDLPack
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.kserve.arrays import own_datatype
from nupic_client._core.kserve.input_arrays import encode_array, encode_undeclared, fit_shape
from nupic_client.errors import ConfigurationError
from nupic_client.infer_input import InferInput
from nupic_client.shared_memory_places import SharedMemoryTensor
from nupic_client.signature import TensorSpec


@given(
    st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=3),
    st.lists(st.integers(0, 3), max_size=4),
    st.booleans(),
)
def test_a_shape_that_fits_has_the_declared_sizes_and_no_other_number_of_elements(declared, sizes, batched):
    array = np.zeros(sizes, np.int8)
    spec = TensorSpec("x", "INT8", tuple(declared))
    try:
        found = fit_shape(spec, array, batched=batched)
    except ConfigurationError:
        exact = (-1, *declared) if batched else declared
        assert len(sizes) != len(exact) or any(
            want not in (-1, size) for want, size in zip(exact, sizes, strict=True)
        )
        return
    assert np.prod(found, initial=1) == array.size
    tail = found[1:] if batched else found
    assert len(tail) == len(declared)
    assert all(want in (-1, size) for want, size in zip(declared, tail, strict=True))


# Inputs that the server does not list


@pytest.mark.parametrize(
    ("value", "datatype", "shape"),
    [
        ([bytearray(b"a"), memoryview(b"bc")], "BYTES", (2,)),
        (bytearray(b"ab"), "BYTES", ()),
        ([["a"], [b"b"]], "BYTES", (2, 1)),
        (np.zeros((2, 3), ">f4"), "FP32", (2, 3)),
        (np.zeros(2, ml_dtypes.bfloat16), "BF16", (2,)),
        (True, "BOOL", ()),
        ([2**64 - 1], "UINT64", (1,)),
    ],
)
def test_a_value_is_encoded_with_its_own_data_type_and_shape(value, datatype, shape):
    """I-F5."""
    tensor = encode_undeclared("x", value)
    assert (tensor.datatype, tensor.shape) == (datatype, shape) == (own_datatype("x", value), shape)


def test_an_array_that_only_dlpack_reads_has_its_own_data_type():
    """I-F5."""
    assert encode_undeclared("x", OnlyDLPack(np.zeros((2, 3), np.float32))).shape == (2, 3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[1], [1, 2]], "must be an array, not a list that numpy makes no array of"),
        (np.zeros(1, complex), "must have a data type of the protocol, not complex128"),
        (np.ma.array([1.0], mask=[True]), "a masked array"),
        ([2**64, 1], "BYTES"),
        ([None], "NoneType"),
    ],
)
def test_a_value_without_a_data_type_of_the_protocol_is_an_error(value, words):
    """I-F5."""
    with pytest.raises(ConfigurationError, match=f"input 'x'.*{words}"):
        encode_undeclared("x", value)


class TestSharedMemory:
    TENSOR = SharedMemoryTensor(region="a", byte_size=8, datatype="FP32", shape=[2], offset=64)
    PARAMETERS = TENSOR.parameters

    def test_a_tensor_is_named_and_not_sent(self):
        found = encode_array(TensorSpec("x", "FP32", (-1,)), self.TENSOR, batched=False)
        assert (found.shape, found.contents, found.parameters) == ((2,), (), self.PARAMETERS)

    def test_a_batch_of_one_may_be_left_out(self):
        found = encode_array(TensorSpec("x", "FP32", (2,)), self.TENSOR, batched=True)
        assert found.shape == (1, 2)

    def test_it_keeps_the_parameters_of_its_input(self):
        found = encode_array(TensorSpec("x", "FP32", (2,)), InferInput(self.TENSOR, {"a": 1}), batched=False)
        assert found.parameters == {"a": 1, **self.PARAMETERS}

    def test_it_has_its_own_data_type_where_the_server_lists_none(self):
        found = encode_undeclared("x", self.TENSOR)
        assert (found.datatype, found.shape, found.contents) == ("FP32", (2,), ())
        assert found.parameters == self.PARAMETERS

    def test_the_model_s_data_type_and_shape_are_checked(self):
        with pytest.raises(
            ConfigurationError, match=r"must be INT32, not FP32 in shared memory.*datatype='INT32'"
        ):
            encode_array(TensorSpec("x", "INT32", (2,)), self.TENSOR, batched=False)
        with pytest.raises(ConfigurationError, match=r"shape \[3\], not \[2\]"):
            encode_array(TensorSpec("x", "FP32", (3,)), self.TENSOR, batched=False)
