"""Models whose server lists no inputs, as MLServer and KServe need not: named arrays go out with their own data type."""

from __future__ import annotations

import numpy as np
import pytest
from inference.tensor_server import TensorServer, signature

from nupic_client import ConfigurationError, InferenceClient, ModelSignature
from nupic_client.signature import TensorSpec


@pytest.fixture
def server():
    with TensorServer(signature("svm", {}, {})) as server:
        server.with_config = False
        yield server


@pytest.fixture
def client(server):
    with InferenceClient("svm", server.url) as client:
        yield client


ARRAYS = {
    "FP32": np.ones((2, 3), np.float32),
    "FP64": np.ones((2, 3)),
    "FP16": np.ones(4, np.float16),
    "INT8": np.ones((1, 1, 1), np.int8),
    "INT32": np.arange(3, dtype=">i4"),
    "INT64": np.array(7),
    "UINT16": np.ones((0, 3), np.uint16),
    "BOOL": np.array([True, False]),
    "BYTES": np.array(["a", "é"]),
}


@pytest.mark.parametrize("datatype", ARRAYS)
def test_an_array_has_its_own_data_type(client, server, datatype):
    """I-F5."""
    array = ARRAYS[datatype]
    result = client.infer({"predict": array})
    (sent,) = server.requests[-1].inputs
    assert (sent.name, sent.datatype, tuple(sent.shape)) == ("predict", datatype, array.shape)
    assert np.array_equal(result["predict"], array)


@pytest.mark.parametrize(
    ("value", "datatype"),
    [([1, 2], "INT64"), ([[1.5]], "FP64"), ("text", "BYTES"), ([b"a"], "BYTES"), (True, "BOOL")],
)
def test_plain_values_have_the_one_that_numpy_gives_them(client, server, value, datatype):
    """I-F5."""
    client.infer({"a": value, "b": np.zeros(1, np.int8)})
    assert [item.datatype for item in server.requests[-1].inputs] == [datatype, "INT8"]


def test_a_single_value_has_no_name(client, server):
    """I-F5: else an error that says signature=."""
    with pytest.raises(ConfigurationError, match=r"lists no inputs for it\. Or give the client signature="):
        client.infer(np.ones(3))
    assert not server.requests


@pytest.mark.parametrize(
    "value", [[[1], [2, 3]], np.ones(1, np.complex64), [object()], np.array(["2020"], "datetime64[D]")]
)
def test_what_no_tensor_can_hold_is_refused(client, server, value):
    with pytest.raises(ConfigurationError, match="input 'predict'"):
        client.infer({"predict": value})
    assert not server.requests


def test_outputs_that_are_not_listed_can_be_asked_for(client):
    assert client.infer({"a": [1]}, outputs=["a"])["a"].tolist() == [1]


def test_a_signature_of_the_callers_counts(server):
    declared = ModelSignature("svm", {"x": TensorSpec("x", "FP32", (-1,))}, {})
    with InferenceClient("svm", server.url, signature=declared) as client:
        client.infer([1.0])
    assert server.requests[-1].inputs[0].datatype == "FP32"


def test_texts_need_a_signature(client):
    with pytest.raises(ConfigurationError, match="lists no inputs for it: give the client signature="):
        client.embed(["a"])
