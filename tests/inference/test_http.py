"""`HttpInferenceClient` over a stand-in with the interface of tritonclient's HTTP client, which most do not install."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from nupic_client import (
    ClientFactory,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    ProtocolError,
    RequestRejectedError,
)

CONFIGS = {
    "sbert": {
        "name": "sbert",
        "max_batch_size": 4,
        "input": [{"name": "text_input", "data_type": "TYPE_STRING", "dims": [1], "of_tomorrow": 1}],
        "output": [{"name": "embedding", "data_type": "TYPE_FP32", "dims": [2]}],
    },
    "echo": {
        "name": "echo",
        "input": [{"name": "x", "data_type": "TYPE_STRING", "dims": [-1]}],
        "output": [{"name": "x", "data_type": "TYPE_STRING", "dims": [-1]}],
    },
    "brain": {
        "name": "brain",
        "input": [{"name": "x", "data_type": "TYPE_BF16", "dims": [-1]}],
        "output": [{"name": "x", "data_type": "TYPE_BF16", "dims": [-1]}],
    },
}


class ServerError(Exception):
    def __init__(self, text, code=None):
        super().__init__(text)
        self.text, self.code = text, code

    def message(self):
        return self.text

    def status(self):
        return self.code


class Input:
    def __init__(self, name, shape, datatype):
        self.name, self.shape, self.datatype = name, shape, datatype

    def set_data_from_numpy(self, array):
        assert list(array.shape) == self.shape
        self.array = array


class Connection:
    made: ClassVar[list] = []
    failure = None

    def __init__(self, url, **options):
        self.url, self.options, self.requests, self.closed = url, options, [], False
        self.made.append(self)

    def get_model_config(self, name, version):
        if self.failure:
            raise self.failure
        if name not in CONFIGS:
            raise ServerError(f"Request for unknown model: '{name}' is not found", "400")
        return CONFIGS[name]

    def infer(self, name, inputs, **options):
        self.requests.append(options)
        array = inputs[0].array
        if name == "sbert":
            array = np.array([[len(text)] * 2 for text in array.ravel()], np.float32)
        output = CONFIGS[name]["output"][0]
        described = {
            "name": output["name"],
            "datatype": "BYTES" if output["data_type"] == "TYPE_STRING" else output["data_type"][5:],
        }
        response = {
            "model_name": name,
            "model_version": "1",
            "id": options["request_id"],
            "outputs": [described],
        }
        return SimpleNamespace(get_response=lambda: response, as_numpy=lambda _: array)

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def connections(monkeypatch):
    monkeypatch.setattr(Connection, "made", [])
    monkeypatch.setattr(Connection, "failure", None)
    stand_in = SimpleNamespace(
        InferenceServerClient=Connection,
        InferInput=Input,
        InferRequestedOutput=lambda name: name,
        InferenceServerException=ServerError,
    )
    monkeypatch.setitem(sys.modules, "tritonclient.http", stand_in)
    return Connection.made


def client(model="sbert", url="localhost:8000", **options):
    return ClientFactory.get_client(model, url, "http", **options)


def test_infer_and_embed(connections):
    with client() as it:
        assert it.infer(["ab", "c"], request_id="me").only.tolist() == [[2, 2], [1, 1]]
        assert it.embed(["a" * n for n in range(10)])[:, 0].tolist() == list(range(10))
        assert repr(it) == "HttpInferenceClient('sbert', url='localhost:8000')"
    (connection,) = connections
    assert connection.requests[0]["request_id"] == "me"
    assert connection.requests[1]["outputs"] == ["embedding"]
    assert connection.closed
    it.close()


def test_texts_are_str_or_bytes_by_choice():
    assert client("echo").infer(["ä"]).only.tolist() == ["ä"]
    assert client("echo", text="bytes").infer(["ä"]).only.tolist() == ["ä".encode()]
    with pytest.raises(ProtocolError, match="text='bytes'"):
        client("echo").infer([b"\xff"])


def test_bfloat16_is_given_as_float32():
    array = client("brain").infer(np.float32([1.5])).only
    assert (array.dtype, array.tolist()) == (np.float32, [1.5])


def test_the_url_may_have_a_scheme(connections):
    client(url="https://host:443/base/").infer("a")
    client(url=None).infer("a")
    assert [(it.url, it.options["ssl"]) for it in connections] == [
        ("host:443/base", True),
        ("localhost:8000", False),
    ]
    with pytest.raises(ConfigurationError, match="expected host:port"):
        client(url="grpc://host:8001")


def test_inputs_are_checked_first(connections):
    with pytest.raises(ConfigurationError, match="expected a batch of at most 4"):
        client().infer(["a"] * 5)
    with pytest.raises(ConfigurationError, match="timeout: over HTTP it belongs to the client"):
        client().infer("a", timeout=1)
    assert not any(connection.requests for connection in connections)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (ServerError("what is this", "400"), RequestRejectedError),
        (ServerError("oh no"), InferenceError),
        (ConnectionRefusedError(111, "refused"), ConnectionFailedError),
        (TimeoutError("slow"), DeadlineExceededError),
    ],
)
def test_failures_are_typed(failure, error, monkeypatch):
    monkeypatch.setattr(Connection, "failure", failure)
    with pytest.raises(error) as caught:
        client().infer("a")
    assert (caught.value.model, caught.value.target) == ("sbert", "localhost:8000")


def test_an_unknown_model_is_typed():
    with pytest.raises(ModelUnavailableError):
        client("nope").infer("a")
