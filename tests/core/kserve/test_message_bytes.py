"""Messages as bytes: the same as protobuf makes and reads."""

from __future__ import annotations

import struct

import pytest
from core.replies import serialized_request
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.kserve import message_bytes, wire
from nupic_client.errors import ProtocolError

# Requests


@given(
    st.lists(
        st.tuples(st.text("ab", min_size=1, max_size=3), st.lists(st.binary(max_size=300), max_size=3)),
        max_size=4,
    ),
    st.lists(st.text("ab", max_size=3), max_size=2),
)
def test_the_serialized_request_is_what_protobuf_would_make(inputs, outputs):
    tensors = [
        wire.EncodedTensor(name, "UINT8", (sum(map(len, parts)),), tuple(parts)) for name, parts in inputs
    ]
    wanted = wire.pb.ModelInferRequest(model_name="m", model_version="2", id="i")
    for tensor in tensors:
        wanted.inputs.add(name=tensor.name, datatype="UINT8", shape=tensor.shape)
        if tensor.contents:  # one without any is in shared memory
            wanted.raw_input_contents.append(b"".join(tensor.contents))
    for name in outputs:
        wanted.outputs.add(name=name)
    wanted.parameters["p"].double_param = 0.5
    data = serialized_request(
        "m",
        tensors,
        request_id="i",
        version="2",
        outputs=outputs,
        parameters={"p": 0.5},
    )
    assert wire.pb.ModelInferRequest.FromString(data) == wanted


def test_long_contents_have_long_lengths():
    data = struct.pack("<I", 200_000) + bytes(200_000)
    request = serialized_request("m", [wire.EncodedTensor("x", "BYTES", (1,), (memoryview(data),))])
    assert wire.pb.ModelInferRequest.FromString(request).raw_input_contents[0] == data


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_a_request_is_taken_apart(contents):
    tensors = [wire.EncodedTensor("x", "UINT8", (len(content),), (content,)) for content in contents]
    message, found = message_bytes.split_infer_request(serialized_request("m", tensors, request_id="i"))
    assert [bytes(each) for each in found] == contents
    assert (message.id, len(message.inputs), len(message.raw_input_contents)) == ("i", len(contents), 0)


# Responses


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_contents_are_serialized_as_protobuf_does(contents):
    expected = wire.pb.ModelInferResponse(raw_output_contents=contents).SerializeToString()
    assert message_bytes.serialized_contents(contents) == expected


@pytest.mark.parametrize("length", [0, 127, 128, 255, 256, 2**14 - 1, 2**14, 2**21])
def test_contents_of_any_length_are_serialized_as_protobuf_does(length):
    contents = [bytes(length)]
    expected = wire.pb.ModelInferResponse(raw_output_contents=contents).SerializeToString()
    assert message_bytes.serialized_contents(contents) == expected


@given(st.lists(st.binary(max_size=300), max_size=3), st.text("ab", max_size=200))
def test_a_response_is_taken_apart(contents, name):
    message = wire.pb.ModelInferResponse(
        model_name=name, model_version="1", id="i", raw_output_contents=contents
    )
    message.parameters["p"].int64_param = 300
    for _ in contents:
        message.outputs.add(name="y", datatype="UINT8", shape=[2**40])
    found = message_bytes.split_infer_response(message.SerializeToString())
    assert [bytes(each) for each in found.raw_output_contents] == contents
    assert (found.model_name, found.model_version, found.id) == (name, "1", "i")
    assert (list(found.outputs), dict(found.parameters)) == (list(message.outputs), dict(message.parameters))


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_as_protobuf_reads_it(data):
    try:
        expected = wire.parse_infer_response(data)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            message_bytes.split_infer_response(data)
    else:
        found = message_bytes.split_infer_response(data)
        assert [bytes(each) for each in found.raw_output_contents] == list(expected.raw_output_contents)
        assert found.id == expected.id


def test_marks_and_ids_are_those_of_protobuf():
    message = wire.pb.ModelInferResponse(id="id" * 100, raw_output_contents=[b"a" * 300])
    marks = message_bytes.raw_output_marks([300])
    assert message.SerializeToString() == message_bytes.id_field("id" * 100) + marks[0] + b"a" * 300
    assert message_bytes.id_field("") == b""
