"""Messages: how requests are made of tensors and parameters, and where the classes come from."""

from __future__ import annotations

import pytest
from core.replies import chunk, raw_bytes, reply, serialized_request

from nupic_client._core.kserve import wire
from nupic_client.errors import ProtocolError
from nupic_client.signature import InputTensor


def test_a_request_has_its_inputs_and_their_raw_contents_in_the_same_order():
    tensors = [
        InputTensor("text_input", "BYTES", (1, 1), ("Hi",)),
        InputTensor("max_tokens", "INT32", (1, 1), (3,)),
    ]
    request = wire.build_infer_request("llm", tensors, request_id="r1", version="2", outputs=["text_output"])
    assert (request.model_name, request.model_version, request.id) == ("llm", "2", "r1")
    assert [(item.name, item.datatype, list(item.shape)) for item in request.inputs] == [
        ("text_input", "BYTES", [1, 1]),
        ("max_tokens", "INT32", [1, 1]),
    ]
    assert list(request.raw_input_contents) == [b"\x02\0\0\0Hi", b"\x03\0\0\0"]
    assert [output.name for output in request.outputs] == ["text_output"]


def test_parameters_have_the_type_of_their_value():
    request = wire.build_infer_request("llm", [], parameters={"flag": True, "count": 3, "word": "x"})
    kinds = {name: value.WhichOneof("parameter_choice") for name, value in request.parameters.items()}
    assert kinds == {"flag": "bool_param", "count": "int64_param", "word": "string_param"}


def test_inputs_and_outputs_have_parameters_of_their_own():
    tensor = wire.EncodedTensor("x", "UINT8", (1,), (b"a",), {"content_type": "np", "big": 2**64 - 1})
    asked = [wire.RequestedOutput("p", {"classification": 3}), "q"]
    for request in (
        wire.build_infer_request("m", [tensor], outputs=asked),
        wire.pb.ModelInferRequest.FromString(serialized_request("m", [tensor], outputs=asked)),
    ):
        (sent,) = request.inputs
        assert sent.parameters["content_type"].string_param == "np"
        assert sent.parameters["big"].uint64_param == 2**64 - 1
        assert [output.name for output in request.outputs] == ["p", "q"]
        assert request.outputs[0].parameters["classification"].int64_param == 3
        assert not request.outputs[1].parameters
        assert not request.parameters


def test_an_input_that_cannot_be_encoded_is_named():
    tensor = InputTensor("max_tokens", "INT32", (1,), (2**40,))
    with pytest.raises(ValueError, match="input 'max_tokens'"):
        wire.build_infer_request("llm", [tensor])


def test_a_number_that_is_too_large_for_a_parameter_is_a_value_error():
    with pytest.raises(ValueError):
        serialized_request("m", [], parameters={"count": 2**64})


def test_a_message_is_serialized_once():
    message = wire.pb.ServerLiveResponse(live=True)
    data = wire.serialize(message)
    assert data == message.SerializeToString()
    assert wire.serialize(data) is data


# Responses


def test_a_response_is_read():
    assert wire.parse_stream_response(chunk("a"), "r1").infer_response.id == "r1"


def test_bytes_that_are_no_response_break_the_protocol_with_the_request_id():
    with pytest.raises(ProtocolError) as caught:
        wire.parse_stream_response(b"\xff\xff", "r7")
    assert caught.value.request_id == "r7"


def test_a_text_is_found_among_so_many_contents_only():
    data = reply(("a", "INT32", [1], bytes(4)), ("text_output", "BYTES", [1], raw_bytes(b"Hi")))
    assert wire.text_among(data, 2, 1) == b"Hi"
    assert wire.text_among(data, 1, 0) is None
    assert wire.text_among(data, 3, 1) is None
    assert wire.text_among(b"\xff\xff", 2, 1) is None


# The service


def test_a_method_has_its_path_in_the_service():
    assert wire.method_path("ServerLive") == "/inference.GRPCInferenceService/ServerLive"


def test_every_method_has_its_messages():
    service = wire.pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for name, (request, response) in wire.METHODS.items():
        method = service.methods_by_name[name]
        assert (method.input_type, method.output_type) == (request.DESCRIPTOR, response.DESCRIPTOR)
