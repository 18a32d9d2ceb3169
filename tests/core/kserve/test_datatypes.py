from __future__ import annotations

import struct

import numpy as np
import pytest

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor, typed_elements
from nupic_client._datatypes import DATATYPES, config_name, from_config_name

ALL = list(DATATYPES.values())
CONTENTS = wire.pb.InferTensorContents.DESCRIPTOR.fields_by_name
CONFIG = wire.pb.model__config__pb2.DataType.DESCRIPTOR.values_by_name


def test_the_table_has_every_data_type_of_a_model_configuration():
    assert {config_name(name) for name in DATATYPES} == set(CONFIG) - {"TYPE_INVALID"}


@pytest.mark.parametrize("name", DATATYPES)
def test_the_name_in_a_configuration_can_be_read_back(name):
    assert from_config_name(config_name(name)) == name == DATATYPES[name].name


@pytest.mark.parametrize("datatype", ALL, ids=DATATYPES)
def test_the_size_is_that_of_struct_and_of_numpy(datatype):
    if datatype.struct_code:
        assert struct.calcsize(f"<{datatype.struct_code}") == datatype.size
    if datatype.numpy_name:
        assert np.dtype(datatype.numpy_name).itemsize == datatype.size
    assert bool(datatype.struct_code) == bool(datatype.numpy_name) == (datatype.name not in {"BF16", "BYTES"})


@pytest.mark.parametrize("datatype", ALL, ids=DATATYPES)
def test_the_smallest_and_greatest_numbers_are_those_of_numpy(datatype):
    if not datatype.numpy_name or datatype.name == "BOOL":
        return
    info = (np.finfo if datatype.is_float else np.iinfo)(datatype.numpy_name)
    values = np.array([info.min, info.max], datatype.numpy_name)
    assert encode_tensor(datatype.name, values.tolist()) == values.tobytes()


def test_floating_point_numbers_are_those_that_embeddings_may_be():
    assert [item.name for item in ALL if item.is_float] == ["FP16", "BF16", "FP32", "FP64"]


def test_every_field_of_typed_contents_is_in_the_table_and_no_other():
    assert {item.contents for item in ALL} - {""} == set(CONTENTS)
    assert [item.name for item in ALL if not item.contents] == ["FP16", "BF16"]


@pytest.mark.parametrize("datatype", [item for item in ALL if item.contents], ids=lambda item: item.name)
def test_the_field_takes_the_python_kinds_and_gives_them_back(datatype):
    tensor = wire.pb.ModelInferRequest.InferInputTensor(datatype=datatype.name)
    kind = datatype.kinds[-1]
    getattr(tensor.contents, datatype.contents).append(kind(1))
    assert list(typed_elements(tensor)) == [kind(1)]
    assert isinstance(typed_elements(tensor)[0], kind)
