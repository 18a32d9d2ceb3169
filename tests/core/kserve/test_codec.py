"""Elements of tensors to raw contents and back, without numpy: each data type, BYTES, and contents that are torn."""

from __future__ import annotations

import math
import struct

import ml_dtypes
import numpy as np
import pytest
from core.replies import raw_bytes
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.kserve.codec import (
    decode_bfloat16,
    decode_bytes_tensor,
    decode_numbers,
    encode_bfloat16,
    encode_tensor,
    is_numeric,
)

INTEGERS = {f"{sign}INT{bits}": f"{sign}int{bits}".lower() for sign in ("", "U") for bits in (8, 16, 32, 64)}
FLOATS = {"FP16": "float16", "FP32": "float32", "FP64": "float64"}
NUMPY = {"BOOL": "bool"} | INTEGERS | FLOATS


def numbers(datatype, raw):
    return list(decode_numbers(datatype, raw))


# Numbers


@pytest.mark.parametrize("datatype", NUMPY)
def test_numbers_are_written_as_numpy_writes_them(datatype):
    expected = np.array([0, 1, 1], dtype=NUMPY[datatype]).tobytes()
    assert encode_tensor(datatype, [0, 1, 1]) == expected


@pytest.mark.parametrize("datatype", NUMPY)
def test_numbers_are_read_as_numpy_wrote_them(datatype):
    assert numbers(datatype, np.array([1, 0], dtype=NUMPY[datatype]).tobytes()) == [1, 0]


@pytest.mark.parametrize("datatype", INTEGERS)
def test_the_smallest_and_greatest_integer_survive(datatype):
    info = np.iinfo(INTEGERS[datatype])
    assert numbers(datatype, encode_tensor(datatype, [info.min, info.max])) == [info.min, info.max]
    for outside in (int(info.min) - 1, int(info.max) + 1):
        with pytest.raises(ValueError, match=f"as {datatype}"):
            encode_tensor(datatype, [outside])


@given(st.sampled_from(sorted(FLOATS)), st.floats(width=16))
def test_floating_point_numbers_survive(datatype, number):
    (back,) = numbers(datatype, encode_tensor(datatype, [number]))
    assert (math.isnan(back) and math.isnan(number)) or (back, math.copysign(1, back)) == (
        number,
        math.copysign(1, number),
    )


@pytest.mark.parametrize(
    ("datatype", "raw"), [("INT32", b""), ("INT32", b"\0\0\0"), ("BF16", b"\0\0"), ("", b"abcd")]
)
def test_where_there_is_no_number_none_is_read(datatype, raw):
    assert numbers(datatype, raw) == []


def test_a_torn_number_at_the_end_is_left_out():
    assert numbers("INT16", b"\1\0\2\0\3") == [1, 2]


def test_tensors_without_elements_have_no_contents():
    for datatype in ("BYTES", *NUMPY):
        assert encode_tensor(datatype, []) == b""


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT32", 2**40),
        ("UINT64", -1),
        ("FP32", 1e300),
        ("FP32", 10**400),
        ("FP16", 70000.0),
        ("BF16", 1.0),
        ("INT8", 1.5),
        ("INT8", "1"),
        ("FP32", None),
        ("", 1),
    ],
)
def test_a_value_that_does_not_fit_is_a_value_error(datatype, value):
    with pytest.raises(ValueError, match=f"as {datatype}"):
        encode_tensor(datatype, [value])


def test_only_numbers_are_numeric():
    assert all(map(is_numeric, NUMPY))
    assert not any(map(is_numeric, ["BYTES", "BF16", "FP31", ""]))


# BF16, which neither `struct` nor numpy has


def as_others_do(values, dtype):
    with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN are values here
        return values.astype(dtype)


@given(st.lists(st.floats(width=32), max_size=5))
def test_bfloat16_is_rounded_as_others_round_it(values):
    wanted = as_others_do(np.array(values, np.float32), ml_dtypes.bfloat16)
    raw = encode_bfloat16(values)
    np.testing.assert_array_equal(np.frombuffer(raw, ml_dtypes.bfloat16).astype("f4"), wanted.astype("f4"))


@given(st.binary(max_size=9))
def test_any_bfloat16_is_read_as_others_read_it(raw):
    whole = np.frombuffer(raw[: len(raw) // 2 * 2], ml_dtypes.bfloat16)
    np.testing.assert_array_equal(decode_bfloat16(raw), as_others_do(whole, np.float64))


def test_no_nan_becomes_a_number_in_bfloat16():
    (nan,) = struct.unpack("<f", b"\xff\xff\xff\x7f")  # rounded as a number it would be zero
    assert math.isnan(nan)
    (back,) = decode_bfloat16(encode_bfloat16([nan]))
    assert math.isnan(back)


@pytest.mark.parametrize("value", ["1", None, 1e300])
def test_what_is_no_bfloat16_is_a_value_error(value):
    with pytest.raises(ValueError, match="cannot encode"):
        encode_bfloat16([value])


# Texts and bytes


def test_strings_and_bytes_are_written_with_their_length():
    assert encode_tensor("BYTES", ["é", b"\xff"]) == b"\x02\0\0\0\xc3\xa9\x01\0\0\0\xff"


def test_a_long_element_has_a_long_length():
    raw = encode_tensor("BYTES", [bytes(70_000)])
    assert raw[:4] == struct.pack("<I", 70_000)
    assert decode_bytes_tensor(raw) == [bytes(70_000)]


def test_a_text_that_is_no_unicode_is_a_value_error():
    with pytest.raises(ValueError, match="surrogates"):
        encode_tensor("BYTES", ["\ud800"])


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_bytes_survive(elements):
    raw = encode_tensor("BYTES", elements)
    assert raw == raw_bytes(*elements)
    assert decode_bytes_tensor(raw) == elements


@given(st.binary(max_size=30))
def test_any_bytes_are_elements_or_a_value_error(raw):
    try:
        elements = decode_bytes_tensor(raw)
    except ValueError:
        return
    assert encode_tensor("BYTES", elements) == raw


def test_a_length_without_its_content_is_an_error_with_both_numbers():
    with pytest.raises(ValueError, match="50 bytes is announced but only 5 follow"):
        decode_bytes_tensor(struct.pack("<I", 50) + b"12345")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_torn_length_is_an_error(count):
    with pytest.raises(ValueError, match=f"{count} of 4 bytes"):
        decode_bytes_tensor(raw_bytes(b"a") + bytes(count))
