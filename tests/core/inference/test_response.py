"""Responses as bytes: one like an earlier one is read without parsing it, and gives the same result."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from core.replies import inference_request, raw_bytes, reply_message
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.inference.response import ResponseReader
from nupic_client.errors import ProtocolError


def floats(*values, name="y"):
    return (name, "FP32", [len(values)], struct.pack(f"<{len(values)}f", *values))


def byte(value, name="b"):
    return (name, "UINT8", [1], bytes([value]))


def answer(*outputs, request_id="id", **parameters):
    message = reply_message(*outputs, request_id=request_id).infer_response
    message.model_name, message.model_version = "model", "3"
    for name, value in parameters.items():
        message.parameters[name].int64_param = value
    return message


def reader(**options):
    return ResponseReader(inference_request(**options), "model")


def same(one, other):
    assert list(one) == list(other)
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        assert array.shape == other[name].shape
        assert array.tobytes() == other[name].tobytes() or array.dtype == object
        assert array.tolist() == other[name].tolist()
    for fact in ("model", "version", "request_id", "parameters"):
        assert getattr(one, fact) == getattr(other, fact)


KINDS = [
    lambda n: answer(floats(n, 2 * n), request_id=f"r{n}"),
    lambda n: answer(floats(n), floats(n, n, name="z"), request_id=f"r{n}", p=7),
    lambda n: answer(byte(n), floats(n), request_id=f"r{n}"),
    lambda n: answer(floats(), request_id=f"r{n}"),
    lambda n: answer(floats(n), request_id=""),
    lambda n: answer(("t", "BYTES", [1], raw_bytes(str(n).encode())), request_id=f"r{n}"),
    lambda n: answer(("h", "BF16", [1], bytes([n, 1])), request_id=f"r{n}"),
    lambda n: answer(request_id=f"r{n}"),
    lambda n: answer(floats(n), request_id=f"r{n}", p=n),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_result_as_from_the_parsed_message(kind):
    made = reader()
    for number in range(6):
        message = kind(number)
        same(made.read(message.SerializeToString(), f"r{number}"), reader().read(message, f"r{number}"))


def test_kinds_may_be_mixed():
    made = reader()
    for number in range(5):
        for kind in KINDS:
            message = kind(number)
            same(made.read(message.SerializeToString(), f"r{number}"), reader().read(message, f"r{number}"))


def learned(*outputs):
    made = reader()
    for _ in range(3):
        made.read(answer(*outputs).SerializeToString(), "id")
    assert made._layouts
    return made


@pytest.mark.parametrize(
    "other",
    [
        answer(floats(1, 2), request_id="no"),
        answer(floats(1, 2, name="x")),
        answer(("y", "INT8", [8], bytes(8))),
        answer(("y", "FP32", [3], bytes(8))),
    ],
)
def test_one_of_the_same_length_that_is_another_is_parsed(other):
    made = learned(floats(1, 2))
    data = other.SerializeToString()
    assert len(data) in made._layouts
    try:
        expected = reader().read(other, "id")
    except ProtocolError as error:
        with pytest.raises(ProtocolError, match=error.message[:20]):
            made.read(data, "id")
    else:
        same(made.read(data, "id"), expected)


def test_fields_that_stand_in_another_order_are_parsed_each_time():
    message = answer(floats(1, 2))
    raw = answer(floats(1, 2))
    message.ClearField("raw_output_contents")
    raw_only = raw.SerializeToString().removeprefix(message.SerializeToString())
    made = reader()
    for _ in range(4):
        assert made.read(raw_only + message.SerializeToString(), "id")["y"].tolist() == [1, 2]
    assert not made._layouts


def test_an_id_that_is_found_twice_is_no_mark():
    made = reader()
    for number in range(4):
        request_id = f"r{number}"
        message = answer(floats(1), request_id=request_id)
        message.parameters["echo"].string_param = request_id
        # Of the same bytes as the field with the id.
        message.parameters["\x1a\x02" + request_id].bool_param = True
        found = made.read(message.SerializeToString(), request_id)
        assert found.parameters["echo"] == request_id


@given(st.integers(0, 60), st.data())
def test_a_changed_byte_gives_the_same_as_parsing(length, data):
    made = learned(floats(*range(length)), byte(1))
    changed = bytearray(answer(floats(*range(length)), byte(1)).SerializeToString())
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] = data.draw(st.integers(0, 255))
    try:
        expected = reader().read(bytes(changed), "id")
    except ProtocolError:
        with pytest.raises(ProtocolError):
            made.read(bytes(changed), "id")
    else:
        found = made.read(bytes(changed), "id")
        assert list(found) == list(expected)
        assert all(found[name].tobytes() == expected[name].tobytes() for name in found)


def test_an_answer_that_is_shorter_by_what_its_id_is_longer_breaks_the_protocol():
    made = learned(floats(1, 2))
    data = answer(floats(1, 2)).SerializeToString()
    start = data.index(b"id") + 2
    with pytest.raises(ProtocolError):
        made.read(data[:start] + b"longer"[:4] + data[start:-4], "id" + "long")


def test_arrays_are_read_only_and_lie_on_whole_words():
    made = learned(byte(1), floats(1, 2))
    found = made.read(answer(byte(9), floats(3, 4)).SerializeToString(), "id")
    assert (found["b"].tolist(), found["y"].tolist()) == ([9], [3, 4])
    for array in found.values():
        assert array.flags.aligned
        assert not array.flags.writeable


def test_an_output_that_is_missing_and_bytes_that_are_none():
    with pytest.raises(ProtocolError, match="did not send the output 'z'"):
        reader(outputs=["z"]).read(answer(floats(1)).SerializeToString(), "id")
    with pytest.raises(ProtocolError, match="cannot be read"):
        reader().read(b"\xff\xff", "id")
    with pytest.raises(ProtocolError, match="without an answer"):
        reader().read(None, "id")


def test_what_is_remembered_is_bounded():
    made = reader()
    for _ in range(2):
        for length in range(100):
            for _ in range(2):
                made.read(answer(floats(*range(length))).SerializeToString(), "id")
    assert len(made._layouts) <= 16
    assert len(made._sizes) <= 16


@pytest.mark.parametrize("kind", ["numbers", "texts", "shifted", "typed"])
def test_a_large_response_is_read_without_copies_and_is_the_same(kind):
    many = list(range(60_000))
    outputs = {
        "numbers": [floats(*many), byte(1)],
        "texts": [("t", "BYTES", [2], raw_bytes(b"a" * 200_000, b"b"))],
        "shifted": [byte(1, name="b" * extra) for extra in range(1, 9)] + [floats(*many)],
        "typed": [],
    }[kind]
    message = answer(*outputs, p=3)
    if kind == "typed":
        message.outputs.add(name="v", datatype="FP32", shape=[len(many)]).contents.fp32_contents.extend(many)
    data = message.SerializeToString()
    assert len(data) > 2**17
    found = reader().read(data, "id")
    same(found, reader().read(message, "id"))
    for array in found.values():
        assert array.flags.aligned


@pytest.mark.parametrize("end", [1, 2, 100, 200_000])
def test_a_large_response_that_is_cut_off_breaks_the_protocol(end):
    data = answer(floats(*range(60_000)), byte(1)).SerializeToString()
    with pytest.raises(ProtocolError):
        reader().read(data[:-end], "id")


def test_a_large_response_with_fields_that_we_do_not_know_is_parsed():
    data = answer(floats(*range(60_000))).SerializeToString() + b"\x98\x06\x01"  # field 99, a number
    assert len(reader().read(data, "id")["y"]) == 60_000


class Call:
    def trailing_metadata(self):
        return (("k", "v"), ("b-bin", b"\0"))


class AsyncCall:
    async def trailing_metadata(self):
        return [("k", "v")]


def test_trailing_metadata_is_that_of_the_call():
    made = reader()
    for _ in range(4):
        assert made.read(answer(floats(1)).SerializeToString(), "id", Call()).trailing_metadata == (
            ("k", "v"),
            ("b-bin", b"\0"),
        )
        assert made.read(answer(floats(1)).SerializeToString(), "id", AsyncCall()).trailing_metadata == (
            ("k", "v"),
        )
        assert made.read(answer(floats(1)).SerializeToString(), "id").trailing_metadata == ()


def test_rows_of_a_result_are_views():
    found = learned(floats(1, 2)).read(answer(floats(3, 4)).SerializeToString(), "id")
    assert found.rows(1, 2)["y"].tolist() == [4]
    assert np.shares_memory(found.rows(0, 2)["y"], found["y"])
