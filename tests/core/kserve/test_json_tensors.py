"""Elements of a tensor to JSON and back: each data type, nested lists, and elements that one side does not have."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest
from core.replies import raw_bytes

from nupic_client._core.kserve.json_tensors import from_json, to_json
from nupic_client._datatypes import DATATYPES
from nupic_client.errors import ConfigurationError, ProtocolError

NUMBERS = {name: item.numpy_name or ml_dtypes.bfloat16 for name, item in DATATYPES.items() if name != "BYTES"}
FLOATS = ("BF16", "FP16", "FP32", "FP64")


def sent(datatype, raw):
    """Return what JSON has of raw contents."""
    return json.loads(json.dumps(to_json("x", datatype, memoryview(raw)), allow_nan=False))


@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_go_there_and_come_back(datatype):
    dtype = NUMBERS[datatype]
    values = [0, 1] if datatype == "BOOL" else [0, 1, 7]
    if datatype.startswith(("INT", "UINT")):
        values += [int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)]
    if datatype in FLOATS:
        values += [-0.5, 1.25]
    raw = np.array(values, object).astype(dtype).tobytes()
    assert sent(datatype, raw) == values
    assert from_json("y", datatype, sent(datatype, raw)) == raw


def test_a_bfloat16_is_rounded_to_the_nearest():
    """Servers write the shortest number, which lies above or below."""
    assert from_json("y", "BF16", [3.14]) == np.array([3.14], ml_dtypes.bfloat16).tobytes()


def test_texts_go_there_and_come_back():
    raw = raw_bytes(b"a", b"", "ä\0".encode())
    assert sent("BYTES", raw) == ["a", "", "ä\0"]
    assert from_json("y", "BYTES", ["a", "", "ä\0"]) == raw


@pytest.mark.parametrize("datatype", [*NUMBERS, "BYTES"])
def test_tensors_without_elements(datatype):
    assert sent(datatype, b"") == []
    assert from_json("y", datatype, []) == b""
    assert from_json("y", datatype, [[], []]) == b""


def test_the_shape_may_be_in_the_data():
    flat = from_json("y", "INT32", [1, 2, 3, 4])
    assert from_json("y", "INT32", [[1, 2], [3, 4]]) == flat
    assert from_json("y", "INT32", [[[1], [2]], [[3], [4]]]) == flat
    assert from_json("y", "INT32", 1) == flat[:4]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("datatype", FLOATS)
def test_numbers_that_json_does_not_have_name_the_input_and_the_way_out(datatype, value):
    raw = np.array([1, value]).astype(NUMBERS[datatype]).tobytes()
    with pytest.raises(ConfigurationError, match=r"input 'x' has infinity or NaN.*: use its gRPC port"):
        sent(datatype, raw)


def test_bytes_that_json_does_not_have_name_the_input_and_the_way_out():
    with pytest.raises(
        ConfigurationError, match=r"input 'x' has bytes that are not UTF-8.*: use its gRPC port"
    ):
        sent("BYTES", raw_bytes(b"a", b"\xff"))


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", None),
        ("FP32", "1"),
        ("FP32", ["1"]),
        ("FP32", {"a": 1}),
        ("FP32", [[1], 2]),
        ("FP32", [[[1]], [[2], 3]]),
        ("FP32", [1, [2]]),
        ("FP32", [1e300]),
        ("FP32", [10**400]),
        ("INT32", [1.5]),
        ("INT8", [128]),
        ("UINT8", [-1]),
        ("BOOL", ["false"]),
        ("BOOL", [None]),
        ("BF16", ["1"]),
        ("BYTES", [5]),
        ("BYTES", ["\ud800"]),
        ("FP7", [1]),
        ("", [1]),
    ],
    ids=str,
)
def test_what_are_no_elements_break_the_protocol_and_name_the_output(datatype, data):
    with pytest.raises(ProtocolError, match=f"output 'y' cannot be decoded: .* list of {datatype} elements"):
        from_json("y", datatype, data)
