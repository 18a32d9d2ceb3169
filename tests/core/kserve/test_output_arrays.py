"""The outputs of a response as arrays. The way there and back is in `tests/core/kserve/test_arrays.py`."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from core.replies import raw_bytes, reply_message

from nupic_client._core.kserve.arrays import DTYPES
from nupic_client._core.kserve.output_arrays import decode_outputs, from_raw, text_bytes, texts_of
from nupic_client.errors import ProtocolError


def decoded(*outputs, text="str"):
    return decode_outputs(reply_message(*outputs).infer_response, text)


def typed(datatype, field, values, shape):
    response = reply_message().infer_response
    output = response.outputs.add(name="y", datatype=datatype, shape=shape)
    getattr(output.contents, field).extend(values)
    return response


def test_outputs_are_arrays_in_the_order_of_the_server():
    arrays = decoded(("y", "INT32", (1, 2), struct.pack("<2i", 1, 2)), ("x", "BYTES", (1,), raw_bytes(b"a")))
    assert {name: array.tolist() for name, array in arrays.items()} == {"y": [[1, 2]], "x": ["a"]}
    assert list(arrays) == ["y", "x"]
    assert not arrays["y"].flags.writeable
    assert decoded() == {}


def test_bytes_that_are_no_text_are_an_error_that_says_how_to_get_them():
    with pytest.raises(ProtocolError, match=r"'y'.*text='bytes'"):
        decoded(("y", "BYTES", (1,), raw_bytes(b"\xff")))
    assert decoded(("y", "BYTES", (1,), raw_bytes(b"\xff")), text="bytes")["y"].tolist() == [b"\xff"]


TYPED = [
    ("BOOL", "bool_contents", [True, False]),
    ("INT8", "int_contents", [-1, 2]),
    ("INT16", "int_contents", [-1, 2]),
    ("INT32", "int_contents", [-1, 2]),
    ("INT64", "int64_contents", [-(2**63), 2]),
    ("UINT8", "uint_contents", [255, 2]),
    ("UINT16", "uint_contents", [1, 2]),
    ("UINT32", "uint_contents", [2**32 - 1, 2]),
    ("UINT64", "uint64_contents", [2**64 - 1, 2]),
    ("FP32", "fp32_contents", [0.5, 2.0]),
    ("FP64", "fp64_contents", [0.1, 2.0]),
    ("BYTES", "bytes_contents", [b"a", b"b"]),
]


@pytest.mark.parametrize(("datatype", "field", "values"), TYPED, ids=[row[0] for row in TYPED])
def test_typed_contents_are_read_too(datatype, field, values):
    array = decode_outputs(typed(datatype, field, values, [2, 1]), "bytes")["y"]
    assert array.tolist() == [[value] for value in values]
    assert array.dtype == DTYPES.get(datatype, object)


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("FP32", [2], b"123"),
        ("FP32", [2], bytes(12)),
        ("FP32", [-1], b""),
        ("FP32", [2**62, 2**62], b""),
        ("BF16", [2], b"12"),
        ("FP31", [1], b"1234"),
        ("", [1], b""),
        ("BYTES", [2], raw_bytes(b"a")),
        ("BYTES", [1], raw_bytes(b"a", b"b")),
        ("BYTES", [1], b"\1\0"),
        ("BYTES", [1], b"\2\0\0\0a"),
    ],
)
def test_contents_that_do_not_fit_break_the_protocol_and_name_the_output(datatype, shape, raw):
    with pytest.raises(ProtocolError, match="'y'"):
        decoded(("y", datatype, shape, raw))


@pytest.mark.parametrize(
    "response",
    [
        typed("FP32", "fp32_contents", [1.0], [2]),
        typed("BYTES", "bytes_contents", [b"a"], [2]),
        typed("FP16", "fp32_contents", [1.0], [1]),
        typed("BF16", "fp32_contents", [1.0], [1]),
        typed("INT32", "fp32_contents", [1.0], [1]),
    ],
    ids=["too few", "too few texts", "FP16", "BF16", "another field"],
)
def test_typed_contents_that_do_not_fit_break_the_protocol(response):
    with pytest.raises(ProtocolError, match="'y'"):
        decode_outputs(response, "str")


def test_only_texts_count_for_the_limit():
    assert text_bytes(reply_message().infer_response) == 0
    raw = (
        ("a", "BYTES", (2,), raw_bytes(b"ab", b"c")),
        ("b", "INT32", (1,), bytes(4)),
        ("c", "BYTES", (0,), b""),
    )
    assert text_bytes(reply_message(*raw).infer_response) == 11
    assert text_bytes(typed("BYTES", "bytes_contents", [b"ab", b"c"], [2])) == 3


@pytest.mark.skipif(np.__version__.startswith("1."), reason="numpy 1 wraps it")
def test_a_typed_number_out_of_range_breaks_the_protocol():
    with pytest.raises(ProtocolError, match="'y'"):
        decode_outputs(typed("INT8", "int_contents", [300], [1]), "str")


def test_numbers_are_not_copied():
    raw = np.arange(6, dtype=np.float32).tobytes()
    assert np.shares_memory(from_raw("FP32", (2, 3), raw, "str"), np.frombuffer(raw, np.uint8))


def test_texts_of_leaves_str_alone():
    assert texts_of(np.array([b"a", "b"], dtype=object)).tolist() == ["a", "b"]
