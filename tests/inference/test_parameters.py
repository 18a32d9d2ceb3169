"""Parameters of requests, inputs and outputs, there and back, over gRPC and HTTP."""

from __future__ import annotations

import numpy as np
import pytest
from inference.rest_server import RestServer
from inference.tensor_server import TensorServer, echo, signature

from nupic_client import (
    Classification,
    ConfigurationError,
    HttpInferenceClient,
    InferenceClient,
    InferInput,
)
from nupic_client._core.kserve import wire

MODELS = (
    signature("pair", {"x": ("INT32", (-1,)), "text": ("BYTES", (-1,))}),
    signature("batched", {"x": ("INT32", (-1,))}, max_batch_size=8),
    signature("undeclared", {}),
)


def told(request):
    """Answer with the inputs and their parameters."""
    response = echo(request)
    for given, output in zip(request.inputs, response.outputs, strict=True):
        wire.set_parameters(output, wire.parameters_of(given))
    return response


@pytest.fixture
def server():
    with TensorServer(*MODELS, answer=told) as server:
        yield server


@pytest.fixture(params=["grpc", "http-binary", "http-json"])
def client(request):
    """Return what makes a client of each protocol, with the requests that its server gets."""
    if request.param == "grpc":
        with TensorServer(*MODELS, answer=told) as server:
            yield lambda model: InferenceClient(model, server.url), server.requests
    else:
        with RestServer(*MODELS, answer=told, extensions=request.param == "http-binary") as server:
            yield lambda model: HttpInferenceClient(model, server.url), server.requests


def test_parameters_of_inputs_arrive_and_those_of_outputs_come_back(client):
    make, requests = client
    given = {"content_type": "np", "n": 3, "share": 0.5, "loud": True}
    inputs = {"x": InferInput(np.int32([1, 2]), given), "text": ["a"]}
    with make("pair") as it:
        result = it.infer(inputs)
    (request,) = requests
    assert [wire.parameters_of(tensor) for tensor in request.inputs] == [given, {}]
    assert result["x"].tolist() == [1, 2]
    assert result.output_parameters == {"x": given, "text": {}}


def test_parameters_of_outputs_are_sent(client):
    make, requests = client
    with make("pair") as it:
        it.infer({"x": np.int32([1]), "text": ["a"]}, outputs={"text": {"content_type": "str"}, "x": 2})
    (request,) = requests
    asked = {output.name: dict(wire.parameters_of(output)) for output in request.outputs}
    for parameters in asked.values():
        parameters.pop("binary_data", None)
    assert asked == {"text": {"content_type": "str"}, "x": {"classification": 2}}


def test_without_parameters_there_are_none(client):
    make, requests = client
    with make("batched") as it:
        result = it.infer(np.int32([[1], [2]]))
    assert result.output_parameters == {"x": {}}
    assert not requests[0].inputs[0].parameters


def test_an_input_of_a_model_that_lists_none_may_have_parameters(server):
    with InferenceClient("undeclared", server.url) as it:
        result = it.infer({"anything": InferInput(np.int8([1]), {"content_type": "np"})})
    assert result.output_parameters["anything"] == {"content_type": "np"}


def test_the_value_of_the_only_input_may_have_parameters(server, flavour):
    with InferenceClient("batched", server.url) as it:
        result = flavour(it).infer(InferInput([1, 2], {"a": 1}))
    assert (result["x"].tolist(), result.output_parameters["x"]) == ([[1, 2]], {"a": 1})


def test_a_map_joins_only_inputs_with_the_same_parameters(server, map_colour):
    given = [None, None, "a", "a", "b", None]
    inputs = [[n] if who is None else InferInput([n], {"who": who}) for n, who in enumerate(given)]
    with InferenceClient("batched", server.url) as it:
        results = map_colour(it).map(inputs, batch_size=8)
    assert [result["x"].tolist() for result in results] == [[[n]] for n in range(6)]
    assert [result.output_parameters["x"].get("who") for result in results] == given
    rows = [
        (tensor.shape[0], wire.parameters_of(tensor))
        for request in server.requests
        for tensor in request.inputs
    ]
    assert sorted(rows, key=str) == [(1, {"who": "b"}), (1, {}), (2, {"who": "a"}), (2, {})]


def test_a_map_may_ask_for_classes(map_colour):
    def classified(request):
        assert request.outputs[0].parameters["classification"].int64_param == 1
        rows = request.inputs[0].shape[0]
        response = wire.pb.ModelInferResponse(model_name="batched", id=request.id)
        response.outputs.add(name="x", datatype="BYTES", shape=[rows, 1])
        texts = (f"{n}.5:{n}:a:b".encode() for n in range(rows))
        response.raw_output_contents.append(
            b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        )
        return response

    with TensorServer(*MODELS, answer=classified) as server, InferenceClient("batched", server.url) as it:
        results = map_colour(it).map([[1], [2]], batch_size=2, outputs={"x": 1})
    assert [result.classes("x") for result in results] == [
        [[Classification(0.5, 0, "a:b")]],
        [[Classification(1.5, 1, "a:b")]],
    ]


@pytest.mark.parametrize("asked", [2, {"classification": 2}])
def test_classes_of_texts_are_refused_before_anything_is_sent(client, asked):
    """Triton 2.51 dies of them, and each server of a pool would when the request is sent to it again."""
    make, requests = client
    with make("pair") as it:
        inputs = {"x": np.int32([1]), "text": ["a"]}
        with pytest.raises(
            ConfigurationError, match="output 'text' of model 'pair' must be of numbers"
        ) as caught:
            it.infer(inputs, outputs={"text": asked})
        assert caught.value.parameter == "outputs"
        assert not requests
        it.infer(inputs, outputs={"text": {"content_type": "str"}})


@pytest.mark.parametrize("classes", [0, -1, True, 2.5])
def test_a_wrong_number_of_classes_is_refused_before_anything_is_sent(client, classes):
    make, requests = client
    with (
        make("batched") as it,
        pytest.raises(ConfigurationError, match=r"outputs\['x'\] must be a number of classes"),
    ):
        it.infer([[1]], outputs={"x": classes})
    assert not requests


def test_embed_takes_parameters_of_the_request():
    model = signature(
        "sbert", {"text_input": ("BYTES", (1,))}, {"embedding": ("FP32", (1,))}, max_batch_size=8
    )

    def answer(request):
        response = wire.pb.ModelInferResponse(model_name="sbert", id=request.id)
        rows = request.inputs[0].shape[0]
        response.outputs.add(name="embedding", datatype="FP32", shape=[rows, 1])
        response.raw_output_contents.append(np.zeros(rows, np.float32).tobytes())
        return response

    with TensorServer(model, answer=answer) as server, InferenceClient("sbert", server.url) as it:
        it.embed(["a", "b"], parameters={"priority": 1})
        assert wire.parameters_of(server.requests[0]) == {"priority": 1}
