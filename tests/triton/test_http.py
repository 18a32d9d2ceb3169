"""`HttpInferenceClient` against the real server, beside `InferenceClient`: the same answers, and the same errors."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    InferenceClient,
    ModelUnavailableError,
    RequestError,
)
from nupic_client.http_inference import HttpInferenceClient
from nupic_client.local.triton.config import config_text
from nupic_client.signature import ModelSignature, TensorSpec
from triton.server import REPOSITORY, TritonServer

DATATYPES = ("BOOL", "INT8", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES")
IDENTITY = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.bfloat = args["model_name"].endswith("BF16")

    def execute(self, requests):
        return [pb_utils.InferenceResponse(output_tensors=[self.renamed(request)]) for request in requests]

    def renamed(self, request):
        given = pb_utils.get_input_tensor_by_name(request, "x")
        if self.bfloat:  # numpy has no such type
            return pb_utils.Tensor.from_dlpack("y", given.to_dlpack())
        return pb_utils.Tensor("y", given.as_numpy())
"""


@pytest.fixture(scope="module")
def server(needs_triton, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ("sbert", "gpt.streaming", "bert-classifier"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for datatype in DATATYPES:
        model = ModelSignature(
            f"same-{datatype}",
            inputs={"x": TensorSpec("x", datatype, (-1, 2))},
            outputs={"y": TensorSpec("y", datatype, (-1, 2))},
        )
        version = folder / model.name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(config_text(model))
        (version / "model.py").write_text(IDENTITY)
    with TritonServer(Path(folder), http_port=0) as running:
        yield running


@pytest.fixture
def clients(server):
    """Return what makes a client for HTTP and one for gRPC."""
    made = []

    def make(model, **options):
        pair = (
            HttpInferenceClient(model, server.http_url, **options),
            InferenceClient(model, server.url, **options),
        )
        made.extend(pair)
        return pair

    yield make
    for client in made:
        client.close()


def values(datatype):
    if datatype == "BYTES":
        return np.array([["ä", ""], ["b\0", "c" * 1000]], dtype=object)
    dtype = {"BOOL": "?", "BF16": "f4", "FP16": "f2", "FP32": "f4", "FP64": "f8"}.get(datatype)
    return np.array(
        [[1, 0], [1, 1]] if dtype in {"?", None} else [[1.5, -2], [np.inf, 0]], dtype or datatype.lower()
    )


@pytest.mark.parametrize("datatype", DATATYPES)
def test_tensors_come_back_as_they_went(clients, datatype):
    for client in clients(f"same-{datatype}"):
        for outputs in (None, ["y"]):
            result = client.infer({"x": values(datatype)}, outputs=outputs, request_id="me")
            assert result["y"].tolist() == values(datatype).tolist()
            assert result["y"].dtype == values(datatype).dtype
            assert (result.model, result.version, result.request_id) == (f"same-{datatype}", "1", "me")


def test_embeddings_are_the_same(clients):
    texts = [f"sentence {number}" for number in range(130)]
    over_http, over_grpc = clients("sbert")
    assert np.array_equal(over_http.embed(texts), over_grpc.embed(texts))
    assert np.array_equal(over_http.embed(texts, batch_size=7), over_grpc.embed(texts))
    assert over_http.embed([]).shape == (0, 384)


def test_large_tensors(clients):
    array = np.arange(4_000_000, dtype=np.float32).reshape(-1, 2)
    over_http, _ = clients("same-FP32")
    for _ in range(3):
        assert np.array_equal(over_http.infer(array)["y"], array)


def test_many_requests_at_once(clients):
    arrays = [np.full((1, 2), number, np.float32) for number in range(200)]
    found = []
    for client in clients("same-FP32"):
        with client.map(arrays, concurrency=8) as results:
            found.append([result["y"].tolist() for result in results])
    assert found[0] == found[1] == [array.tolist() for array in arrays]


def test_rows_are_combined(clients):
    texts = [[f"sentence {number}"] for number in range(50)]
    found = [
        np.vstack([result.only for result in client.map(texts, batch_size=7, concurrency=3)])
        for client in clients("sbert")
    ]
    assert np.array_equal(*found)


def test_errors_of_many_are_the_same(clients):
    found = []
    for client in clients("sbert", max_retries=0):
        results = list(client.map([["a"], ["[fail]"], ["b"]], errors="return"))
        assert isinstance(results[1], RequestError)
        found.append((results[0].only.tolist(), type(results[1]), results[1].message, results[1].status))
    assert found[0] == found[1]


def test_leaving_many_leaves_nothing_behind(clients):
    over_http, _ = clients("same-FP32")
    array = np.zeros((500_000, 2), np.float32)
    for _ in range(3):
        for _result in over_http.map([array] * 50, concurrency=6):
            break
    assert over_http.infer(array[:1])["y"].shape == (1, 2)


@pytest.mark.parametrize("outputs", [{"embedding": 3}, {"embedding": None}, ["embedding"]])
def test_outputs_are_asked_for_the_same(clients, outputs):
    results = [client.infer(["a b"], outputs=outputs) for client in clients("sbert")]
    assert results[0]["embedding"].tolist() == results[1]["embedding"].tolist()
    assert dict(results[0].output_parameters) == dict(results[1].output_parameters)


def test_threads(clients):
    over_http, _ = clients("same-FP32")
    wrong = []

    def work(number):
        array = np.full((100, 2), number, np.float32)
        wrong.extend(number for _ in range(20) if not np.array_equal(over_http.infer(array)["y"], array))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_readiness(clients):
    for client in clients("sbert"):
        client.wait_until_ready(5)
    for client in clients("sbert.streaming"):
        client.wait_until_ready(5)
        assert client.infer(["a"]).model == "sbert"


WRONG_SHAPE = ModelSignature(
    "sbert",
    inputs={"text_input": TensorSpec("text_input", "BYTES", (1, 1, 1))},
    outputs={"embedding": TensorSpec("embedding", "FP32", (384,))},
    max_batch_size=64,
)
WRONG_TYPE = ModelSignature(
    "sbert",
    inputs={"text_input": TensorSpec("text_input", "FP32", (1,))},
    outputs={"embedding": TensorSpec("embedding", "FP32", (384,))},
    max_batch_size=64,
)
WRONG_INPUT = ModelSignature(
    "sbert",
    inputs={"text": TensorSpec("text", "BYTES", (1,))},
    outputs={"embedding": TensorSpec("embedding", "FP32", (384,))},
    max_batch_size=64,
)
WRONG_OUTPUT = ModelSignature(
    "sbert",
    inputs={"text_input": TensorSpec("text_input", "BYTES", (1,))},
    outputs={"vector": TensorSpec("vector", "FP32", (384,))},
    max_batch_size=64,
)


@pytest.mark.parametrize(
    ("signature", "inputs", "options"),
    [
        (None, ["[fail]"], {}),
        (WRONG_SHAPE, [[[["a"]]]], {}),
        (WRONG_TYPE, np.float32([[1]]), {}),
        (WRONG_INPUT, ["a"], {}),
        (WRONG_OUTPUT, ["a"], {"outputs": ["vector"]}),
        (None, ["a"], {"parameters": {"priority": "x"}}),  # worded differently by the server
    ],
    ids=["the model fails", "shape", "type", "input", "output", "parameter"],
)
def test_the_same_cause_is_the_same_error(clients, signature, inputs, options):
    found = []
    for client in clients("sbert", max_retries=0):
        if signature is not None:
            client._models.remember(client.model, signature)
        with pytest.raises(RequestError) as caught:
            client.infer(inputs, request_id="me", **options)
        error = caught.value
        words = () if "parameters" in options else (error.message, error.server_message)
        found.append((type(error), error.status, error.retryable, *words))
        assert (error.model, error.request_id) == ("sbert", "me")
    assert found[0] == found[1]


def test_a_model_that_is_not_there(clients):
    found = []
    for client in clients("nope"):
        with pytest.raises(ModelUnavailableError) as caught:
            client.infer(["a"])
        found.append((caught.value.status, caught.value.message))
    assert found[0] == found[1]


def test_a_model_that_streams(clients):
    for client in clients("gpt.streaming"):
        with pytest.raises(ConfigurationError, match="must answer at once, not stream"):
            client.infer(["a"])


def test_the_grpc_port_says_what_it_is(server):
    with pytest.raises(RequestError, match="this is a gRPC port"):
        HttpInferenceClient("sbert", server.url).infer(["a"])


def test_a_deadline(clients):
    array = np.zeros((4_000_000, 2), np.float32)
    for client in clients("same-FP32"):
        client.infer(array[:1])
        with pytest.raises(DeadlineExceededError, match="no complete answer in time") as caught:
            client.infer(array, timeout=0.005)
        assert (caught.value.limit, caught.value.status) == (0.005, "DEADLINE_EXCEEDED")
        assert client.infer(array, timeout=30)["y"].shape == array.shape
