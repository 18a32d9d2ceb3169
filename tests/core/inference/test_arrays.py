"""The tensor codec: any array survives the way there and back."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nupic_client._core.inference.arrays import DTYPES, as_array, content_of, from_raw, texts_of
from nupic_client.errors import ConfigurationError

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def there_and_back(datatype, value, text="str"):
    array = as_array("x", datatype, value)
    return from_raw(datatype, array.shape, bytes(content_of(datatype, array)), text)


@given(st.data())
def test_numbers_survive(data):
    datatype = data.draw(st.sampled_from(sorted(DTYPES)))
    value = data.draw(arrays.arrays(DTYPES[datatype], SHAPES))
    np.testing.assert_array_equal(there_and_back(datatype, value), value)


@given(st.data())
def test_transposed_and_strided_arrays_survive(data):
    datatype = data.draw(st.sampled_from(sorted(DTYPES)))
    value = data.draw(arrays.arrays(DTYPES[datatype], (4, 6)))[::2, ::-1].T
    np.testing.assert_array_equal(there_and_back(datatype, value), value)


@given(
    arrays.arrays(object, SHAPES, elements=st.text(st.characters(exclude_categories=["Cs"])) | st.binary())
)
def test_texts_and_bytes_survive(value):
    wanted = [item if isinstance(item, bytes) else item.encode() for item in value.ravel()]
    back = there_and_back("BYTES", value, "bytes")
    assert back.shape == value.shape
    assert list(back.ravel()) == wanted


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_arrays_of_str_are_texts(texts):
    value = np.array(texts, dtype=str)
    assert there_and_back("BYTES", value).tolist() == value.tolist()


def test_arrays_of_fixed_bytes_are_bytes():
    assert there_and_back("BYTES", np.array([b"a", b"bc"]), "bytes").tolist() == [b"a", b"bc"]


@given(arrays.arrays(np.float32, SHAPES))
def test_bfloat16_is_rounded_as_others_round_it(value):
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = value.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(there_and_back("BF16", value), wanted)


@given(st.integers(0, 0xFFFF))
def test_every_bfloat16_survives(bits):
    value = np.array([bits], np.uint16).view(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(there_and_back("BF16", value), value.astype(np.float32))


@given(st.sampled_from([name for name in DTYPES if "INT" in name]), st.integers(-(2**65), 2**65))
def test_a_whole_number_goes_out_as_it_is_or_not_at_all(datatype, number):
    info = np.iinfo(DTYPES[datatype])
    if info.min <= number <= info.max:
        assert there_and_back(datatype, number).item() == number
        assert there_and_back(datatype, [[number]]).tolist() == [[number]]
    else:
        with pytest.raises(ConfigurationError, match=f"must be {datatype}"):
            as_array("x", datatype, number)


@given(st.sampled_from(["FP16", "FP32", "FP64"]), st.floats())
def test_a_float_goes_out_rounded_but_never_becomes_infinite(datatype, number):
    with np.errstate(over="ignore"):
        wanted = DTYPES[datatype].type(number)
    if math.isfinite(number) and not np.isfinite(wanted):
        with pytest.raises(ConfigurationError, match="does not fit"):
            as_array("x", datatype, number)
    else:
        np.testing.assert_array_equal(there_and_back(datatype, number), wanted)


@pytest.mark.parametrize("value", [[], [[]], (), range(0)])
def test_an_empty_list_is_of_any_type(value):
    for datatype in (*DTYPES, "BF16"):
        assert as_array("x", datatype, value).size == 0


def test_a_list_of_arrays_has_their_type():
    value = [np.float32([1, 2]), np.float32([3, 4])]
    assert as_array("x", "FP32", value).shape == (2, 2)
    with pytest.raises(ConfigurationError, match="not an array of float32"):
        as_array("x", "FP64", value)


def test_a_number_of_numpys_is_not_a_plain_one():
    with pytest.raises(ConfigurationError, match="not an array of float64"):
        as_array("x", "FP32", np.float64(1))


def test_whole_numbers_may_be_floats():
    assert there_and_back("BF16", [1, 2]).tolist() == [1, 2]
    assert there_and_back("FP32", range(3)).tolist() == [0, 1, 2]


def test_a_data_type_of_a_newer_server_cannot_be_sent():
    with pytest.raises(ConfigurationError, match="TYPE_99, which this client cannot send"):
        as_array("x", "TYPE_99", 1)


def test_numbers_are_not_copied():
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.shares_memory(
        np.frombuffer(content_of("FP32", as_array("x", "FP32", value)), np.float32), value
    )
    raw = value.tobytes()
    assert np.shares_memory(from_raw("FP32", (2, 3), raw, "str"), np.frombuffer(raw, np.uint8))


def test_texts_of_leaves_str_alone():
    assert texts_of(np.array([b"a", "b"], dtype=object)).tolist() == ["a", "b"]
