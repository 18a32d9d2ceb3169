"""Single outputs of a response as bytes, counts and numbers, whatever data type and contents the server chose."""

from __future__ import annotations

import math
import struct

import pytest
from core.replies import raw_bytes, reply_message

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.scalar_outputs import ScalarOutputs
from nupic_client.errors import ProtocolError


def answer(*outputs):
    return reply_message(*outputs).infer_response


def typed(datatype, field, *elements, name="y"):
    """Make a response whose output stands in typed contents."""
    response = answer()
    output = response.outputs.add(name=name, datatype=datatype, shape=[len(elements)])
    getattr(output.contents, field).extend(elements)
    return response


def text(response, name="y"):
    return ScalarOutputs(response).text(name)


def count(response, name="y"):
    return ScalarOutputs(response).count(name)


def numbers(response, name="y"):
    return list(ScalarOutputs(response).numbers(name))


def test_an_output_that_was_not_sent_is_empty():
    other = answer(("x", "BYTES", [1], raw_bytes(b"a")))
    assert (text(other), count(other), numbers(other)) == (None, None, [])


def test_of_two_outputs_of_one_name_the_first_counts():
    assert text(answer(("y", "BYTES", [1], raw_bytes(b"a")), ("y", "BYTES", [1], raw_bytes(b"b")))) == b"a"


# Texts


@pytest.mark.parametrize("element", [b"a", b"", "ä".encode(), b"\xff\0"])
def test_a_text_is_its_one_element(element):
    assert text(answer(("y", "BYTES", [1], raw_bytes(element)))) == element
    assert text(typed("BYTES", "bytes_contents", element)) == element


def test_each_output_has_its_own_contents():
    response = answer(("x", "INT32", [1], struct.pack("<i", 7)), ("y", "BYTES", [1], raw_bytes(b"a")))
    assert (numbers(response, "x"), text(response)) == ([7], b"a")


def test_a_text_without_elements_is_none():
    assert text(answer(("y", "BYTES", [0], b""))) is None
    assert text(typed("BYTES", "bytes_contents")) is None


@pytest.mark.parametrize(
    "response",
    [
        answer(("y", "INT32", [1], struct.pack("<i", 1))),
        answer(("y", "BYTES", [2], raw_bytes(b"a", b"b"))),
        typed("BYTES", "bytes_contents", b"a", b"b"),
        answer(("y", "BYTES", [1], b"\2\0\0\0a")),
        answer(("y", "BYTES", [1], b"\1\0")),
    ],
    ids=["no bytes", "two elements", "two typed elements", "too short", "torn length"],
)
def test_what_is_no_single_text_breaks_the_protocol_and_names_the_output(response):
    with pytest.raises(ProtocolError, match="'y'") as caught:
        text(response)
    assert caught.value.request_id == "r1"


def test_a_text_without_contents_next_to_others_breaks_the_protocol():
    response = answer(("x", "BYTES", [1], raw_bytes(b"a")))
    response.outputs.add(name="y", datatype="BYTES", shape=[1])
    with pytest.raises(ProtocolError, match="'y' has no content"):
        text(response)


# Counts


@pytest.mark.parametrize(
    ("datatype", "code"), [("INT32", "i"), ("UINT32", "I"), ("INT64", "q"), ("UINT8", "B"), ("UINT64", "Q")]
)
def test_a_count_is_the_first_element_of_any_integer_type(datatype, code):
    assert count(answer(("y", datatype, [], struct.pack(f"<{code}", 7)))) == 7
    assert count(answer(("y", datatype, [2], struct.pack(f"<2{code}", 7, 8)))) == 7


def test_none_at_all_is_a_count():
    assert count(answer(("y", "INT32", [1], struct.pack("<i", 0)))) == 0


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [
        ("INT32", struct.pack("<i", -1)),
        ("INT32", b""),
        ("INT32", b"\1\0"),
        ("FP32", struct.pack("<f", 2.0)),
        ("FP32", struct.pack("<f", math.nan)),
        ("BF16", b"\0\0"),
    ],
)
def test_what_is_no_count_is_unknown(datatype, raw):
    assert count(answer(("y", datatype, [1], raw))) is None


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (b"7", 7),
        (b"0", 0),
        (b"18446744073709551615", 2**64 - 1),
        (b"1" * 21, None),
        (b"-1", None),
        (b"1.0", None),
        (b"", None),
        (b" 7", None),
        (b"seven", None),
    ],
)
def test_a_count_may_be_written_out(words, found):
    assert count(answer(("y", "BYTES", [1], raw_bytes(words)))) == found


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("INT32", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT32", "uint_contents"),
        ("UINT64", "uint64_contents"),
    ],
)
def test_a_count_may_stand_in_typed_contents(datatype, field):
    assert count(typed(datatype, field, 7, 8)) == 7
    assert count(typed(datatype, field)) is None


# Numbers


def test_numbers_are_all_elements_in_order():
    assert numbers(answer(("y", "FP32", [2, 2], struct.pack("<4f", 1, 2, 3, 4)))) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("datatype", "field", "elements"),
    [
        ("FP32", "fp32_contents", [0.5, 1.5]),
        ("FP64", "fp64_contents", [0.1]),
        ("INT32", "int_contents", [-1, 0]),
        ("UINT64", "uint64_contents", [2**64 - 1]),
        ("FP32", "fp32_contents", []),
    ],
)
def test_numbers_may_stand_in_typed_contents(datatype, field, elements):
    assert numbers(typed(datatype, field, *elements)) == elements


@pytest.mark.parametrize("datatype", ["BYTES", "BF16", "FP31"])
def test_other_data_types_are_no_numbers(datatype):
    with pytest.raises(ProtocolError, match=f"'y'.*{datatype}") as caught:
        numbers(answer(("y", datatype, [1], b"\0\0")))
    assert caught.value.request_id == "r1"


# I-N5: raw and typed contents in one response


def test_raw_contents_belong_to_the_outputs_without_elements():
    """I-N5: as KServe's own servers mix them."""
    response = answer(("x", "BYTES", [1], raw_bytes(b"a")))
    response.outputs.add(name="y", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"b")
    assert text(response) == b"b"
    response = wire.pb.ModelInferResponse(raw_output_contents=[raw_bytes(b"a"), b"\1\0\0\0"])
    response.outputs.add(name="list", datatype="INT32", shape=[1]).contents.int_contents.append(7)
    response.outputs.add(name="x", datatype="BYTES", shape=[1])
    response.outputs.add(name="none", datatype="FP32", shape=[0])
    response.outputs.add(name="count", datatype="INT32", shape=[1])
    outputs = ScalarOutputs(response)
    assert (outputs.text("x"), outputs.numbers("list"), outputs.numbers("count")) == (b"a", (7,), (1,))
    assert outputs.numbers("none") == ()
