"""What a model takes and gives, read from ModelConfig (protobuf and JSON) and from ModelMetadata."""

from __future__ import annotations

import pytest

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import (
    signature_from_config,
    signature_from_metadata,
)
from nupic_client.signature import TensorSpec

DATATYPES = (
    *("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    *("FP16", "FP32", "FP64", "BF16"),
)


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


@pytest.mark.parametrize("datatype", DATATYPES)
def test_a_data_type_has_the_name_that_tensors_have(datatype):
    config = model_config()
    kinds = wire.pb.model__config__pb2.DataType
    config.input.add(name="x", data_type=kinds.Value(f"TYPE_{datatype}"), dims=[2, -1])
    assert signature_from_config(config).inputs["x"] == TensorSpec("x", datatype, (2, -1))


def test_an_ensemble_and_a_model_that_answers_once_are_told():
    config = wire.pb.ModelConfigResponse().config
    config.platform = "ensemble"
    signature = signature_from_config(config)
    assert (signature.platform, signature.backend, signature.decoupled) == ("ensemble", "", False)
    assert (signature.inputs, signature.outputs, signature.parameters) == ({}, {}, {})
    assert signature.max_batch_size == 0
