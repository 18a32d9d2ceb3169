"""Outputs that a server has written to shared memory."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from nupic_client import ProtocolError, SharedMemoryOutput
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor
from nupic_client._core.kserve.shared_memory import decode_with_places


def answer(datatype="FP32", shape=(2,), raw=b""):
    response = wire.pb.ModelInferResponse(model_name="m")
    response.outputs.add(name="y", datatype=datatype, shape=shape)
    response.raw_output_contents.append(raw)
    return response


def place(content=None, byte_size=16, offset=4):
    memory = None
    if content is not None:
        memory = mmap.mmap(-1, 64)
        memory[:] = b"\xff" * 64
        memory[offset : offset + len(content)] = content
    return SharedMemoryOutput(region="a", byte_size=byte_size, offset=offset, memory=memory)


def decode(response, where, text="str"):
    arrays, tensors = decode_with_places(response, text, {"y": where})
    return arrays.get("y"), tensors.get("y")


def test_numbers_are_a_read_only_view():
    where = place(encode_tensor("FP32", [1.5, 2.5]))
    array, tensor = decode(answer(), where)
    assert array.tolist() == [1.5, 2.5]
    assert not array.flags.writeable
    where.memory[4:8] = encode_tensor("FP32", [9.0])
    assert array.tolist() == [9.0, 2.5]
    assert (tensor.region, tensor.byte_size, tensor.datatype, tensor.shape, tensor.offset) == (
        "a",
        8,
        "FP32",
        (2,),
        4,
    )


@pytest.mark.parametrize(
    ("datatype", "values"),
    [("INT64", [1, 2]), ("UINT8", [3, 4]), ("BOOL", [True, False]), ("FP16", [0.5, 1])],
)
def test_other_numbers(datatype, values):
    array, _ = decode(answer(datatype), place(encode_tensor(datatype, values)))
    assert array.tolist() == values


def test_bfloat16():
    array, tensor = decode(answer("BF16"), place(b"\x80\x3f\x00\x40"))
    assert array.dtype == np.float32
    assert (array.tolist(), tensor.byte_size) == ([1.0, 2.0], 4)


@pytest.mark.parametrize("text", ["str", "bytes"])
def test_texts_end_where_the_shape_says(text):
    """What is behind them is of an older answer."""
    array, tensor = decode(answer("BYTES"), place(encode_tensor("BYTES", ["a", "bc", "old"])), text)
    assert array.tolist() == (["a", "bc"] if text == "str" else [b"a", b"bc"])
    assert tensor.byte_size == 11


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_nothing(datatype, shape):
    array, tensor = decode(answer(datatype, shape), place(b""))
    assert (array.shape, tensor.byte_size) == (shape, 0)


@pytest.mark.parametrize(
    ("response", "where"),
    [
        (answer(shape=(5,)), place(b"")),
        (answer("BYTES"), place(b"")),
        (answer("BYTES"), place(encode_tensor("BYTES", ["a", "b" * 20]))),
        (answer("BYTES", (2,)), place(b"\1\0\0\0a\0\0\0", byte_size=7)),
        (answer("NOPE"), place(b"")),
        (answer(shape=(-1,)), place(b"")),
        (answer(shape=(5,)), place()),
    ],
)
def test_an_answer_that_does_not_fit_its_place(response, where):
    with pytest.raises(ProtocolError, match="output 'y' cannot be read"):
        decode(response, where)


@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_memory_that_this_process_does_not_have(datatype):
    array, tensor = decode(answer(datatype), place())
    assert array is None
    assert (tensor.region, tensor.byte_size, tensor.shape) == ("a", 8 if datatype == "FP32" else 16, (2,))


def test_a_server_without_shared_memory_sends_the_contents():
    array, tensor = decode(answer(raw=encode_tensor("FP32", [1.0, 2.0])), place(b""))
    assert (array.tolist(), tensor) == ([1.0, 2.0], None)
    typed = wire.pb.ModelInferResponse()
    typed.outputs.add(name="y", datatype="FP32", shape=[1]).contents.fp32_contents.append(3.0)
    array, tensor = decode(typed, place(b""))
    assert (array.tolist(), tensor) == ([3.0], None)


def test_other_outputs_are_as_ever():
    response = answer()
    response.outputs.add(name="z", datatype="INT32", shape=[1])
    response.raw_output_contents.append(encode_tensor("INT32", [7]))
    arrays, tensors = decode_with_places(response, "str", {"y": place(encode_tensor("FP32", [1.0, 2.0]))})
    assert (arrays["z"].tolist(), set(tensors)) == ([7], {"y"})
