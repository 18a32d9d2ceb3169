from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest
from core.replies import raw_bytes
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor, decode_numbers, encode_tensor
from nupic_client._core.kserve.signature_messages import signature_from_config, signature_from_metadata
from nupic_client._datatypes import DATATYPES
from nupic_client.signature import InputTensor, TensorSpec

NUMPY = {name: datatype.numpy_name for name, datatype in DATATYPES.items() if datatype.numpy_name}


# Tensors


@pytest.mark.parametrize("datatype", NUMPY)
def test_numbers_are_written_as_numpy_writes_them(datatype):
    expected = np.array([0, 1, 1], dtype=NUMPY[datatype]).tobytes()
    assert encode_tensor(datatype, [0, 1, 1]) == expected


@pytest.mark.parametrize("datatype", NUMPY)
def test_numbers_are_read_as_numpy_wrote_them(datatype):
    assert decode_numbers(datatype, np.array([1, 0], dtype=NUMPY[datatype]).tobytes()) == (1, 0)


@pytest.mark.parametrize(
    ("datatype", "raw"), [("INT32", b""), ("INT32", b"\0\0\0"), ("BF16", b"\0\0"), ("", b"abcd")]
)
def test_where_there_is_no_number_none_is_read(datatype, raw):
    assert decode_numbers(datatype, raw) == ()


def test_strings_and_bytes_are_written_with_their_length():
    assert encode_tensor("BYTES", ["é", b"\xff"]) == b"\x02\0\0\0\xc3\xa9\x01\0\0\0\xff"


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_what_is_written_as_bytes_is_read_again(elements):
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


def test_a_torn_length_is_an_error():
    with pytest.raises(ValueError, match="2 of 4 bytes"):
        decode_bytes_tensor(raw_bytes(b"a") + b"\0\0")


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
    ],
)
def test_a_value_that_does_not_fit_is_a_value_error(datatype, value):
    with pytest.raises(ValueError, match=f"as {datatype}"):
        encode_tensor(datatype, [value])


# Requests


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


def test_a_method_has_its_path_in_the_service():
    assert wire.method_path("ServerLive") == "/inference.GRPCInferenceService/ServerLive"


def test_every_method_has_its_messages():
    service = wire.pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for name, (request, response) in wire.METHODS.items():
        method = service.methods_by_name[name]
        assert (method.input_type, method.output_type) == (request.DESCRIPTOR, response.DESCRIPTOR)


def test_the_messages_are_those_that_tritonclient_has():
    code = (
        "from nupic_client._core.kserve import wire\n"
        "from tritonclient.grpc import service_pb2\n"
        "theirs = service_pb2.ModelInferRequest(id='x').SerializeToString()\n"
        "assert wire.pb.ModelInferRequest.FromString(theirs).id == 'x'\n"
        "assert service_pb2.ModelInferRequest.DESCRIPTOR is wire.pb.ModelInferRequest.DESCRIPTOR\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Signatures


def model_config():
    config = wire.pb.ModelConfigResponse().config
    config.name = "llm"
    config.backend = "python"
    config.max_batch_size = 8
    config.model_transaction_policy.decoupled = True
    kinds = wire.pb.model__config__pb2.DataType
    config.input.add(name="text_input", data_type=kinds.Value("TYPE_STRING"), dims=[1])
    config.input.add(name="seed", data_type=kinds.Value("TYPE_UINT64"), dims=[1], optional=True)
    config.output.add(name="text_output", data_type=kinds.Value("TYPE_STRING"), dims=[-1])
    config.parameters["accumulate_tokens"].string_value = "1"
    return config


def test_a_config_gives_the_whole_signature():
    signature = signature_from_config(model_config())
    assert signature.inputs == {
        "text_input": TensorSpec("text_input", "BYTES", (1,)),
        "seed": TensorSpec("seed", "UINT64", (1,), optional=True),
    }
    assert signature.outputs == {"text_output": TensorSpec("text_output", "BYTES", (-1,))}
    assert (signature.name, signature.backend, signature.decoupled) == ("llm", "python", True)
    assert signature.max_batch_size == 8
    assert signature.parameters == {"accumulate_tokens": "1"}


def test_metadata_gives_what_it_says_and_counts_all_but_the_text_as_optional():
    metadata = wire.pb.ModelMetadataResponse(name="llm", platform="torch")
    metadata.inputs.add(name="text_input", datatype="BYTES", shape=[-1, 1])
    metadata.inputs.add(name="seed", datatype="UINT64", shape=[-1, 1])
    metadata.outputs.add(name="text_output", datatype="BYTES", shape=[-1])
    signature = signature_from_metadata(metadata)
    assert signature.inputs == {
        "text_input": TensorSpec("text_input", "BYTES", (-1, 1)),
        "seed": TensorSpec("seed", "UINT64", (-1, 1), optional=True),
    }
    assert (signature.decoupled, signature.max_batch_size, signature.platform) == (True, 0, "torch")


def test_a_data_type_of_a_newer_server_does_not_hide_the_rest_of_the_config():
    config = model_config()
    config.input.add(name="new", data_type=99, dims=[1], optional=True)
    assert signature_from_config(config).inputs["new"].datatype == "TYPE_99"
