"""MLServer beside us in one process (P-F2), and as the server (I-F1, I-F5, I-F6, I-F15)."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nupic_client import (
    ConnectionFailedError,
    HttpInferenceClient,
    InferenceClient,
    InferenceResult,
    InferInput,
    ModelUnavailableError,
    RequestError,
    ServerClient,
    StreamingClient,
)
from nupic_client.backends import PlainBackend
from others.processes import USE_OURS, free_ports, need, run, served

need("mlserver")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

MODELS = Path(__file__).with_name("mlserver_models")
USE_THEIRS = """
import mlserver, mlserver.grpc.dataplane_pb2 as theirs
assert theirs.ModelInferRequest(id="x").SerializeToString() == b"\\x1a\\x01x"
"""


@pytest.mark.parametrize("program", [USE_THEIRS + USE_OURS, USE_OURS + USE_THEIRS], ids=["before", "after"])
def test_it_can_be_imported_before_and_after_us(program: str) -> None:
    """P-F2."""
    run(program)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return its urls for gRPC and for HTTP."""
    folder = tmp_path_factory.mktemp("mlserver") / "models"
    shutil.copytree(MODELS, folder)
    grpc_port, http_port, metrics_port = free_ports(3)
    settings = {
        "host": "127.0.0.1",
        "grpc_port": grpc_port,
        "http_port": http_port,
        "metrics_port": metrics_port,
        "parallel_workers": 0,
        "gzip_enabled": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    program = str(Path(sys.executable).with_name("mlserver"))
    with served([program, "start", str(folder)], grpc_port, folder, "text") as url:
        yield url, f"127.0.0.1:{http_port}"


@pytest.fixture(scope="module")
def url(urls: tuple[str, str]) -> str:
    return urls[0]


@pytest.fixture
def over_http(urls: tuple[str, str]) -> Iterator[Callable[..., HttpInferenceClient]]:
    """Return what makes a client for its HTTP, which has no raw bytes and no model configurations."""
    made: list[HttpInferenceClient] = []

    def make(model: str, **options: Any) -> HttpInferenceClient:
        options = {"timeout": 20, "backend": PlainBackend(echo=False), **options}
        made.append(HttpInferenceClient(model, urls[1], **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


WAYS: dict[str, Callable[[StreamingClient, str], str]] = {
    "generate": lambda client, prompt: client.generate(prompt).text,
    "stream": lambda client, prompt: "".join(client.stream(prompt)),
    "agenerate": lambda client, prompt: asyncio.run(client.agenerate(prompt)).text,
}


@pytest.mark.parametrize("way", WAYS)
def test_its_streams_are_read(url: str, way: str) -> None:
    """I-F1."""
    with StreamingClient("text", url, timeout=20) as client:
        assert WAYS[way](client, "one two three") == "one two three"


def test_its_streams_come_word_by_word_and_can_be_left(url: str) -> None:
    with StreamingClient("text", url, timeout=20) as client:
        with client.stream("one two wait three") as stream:
            assert [next(stream), next(stream)] == ["one", " two"]
        assert client.generate("four five").text == "four five"


@pytest.mark.parametrize("way", WAYS)
def test_its_error_in_a_stream_is_told_as_such(url: str, way: str) -> None:
    """I-F1."""
    with StreamingClient("text", url, timeout=20) as client:
        with pytest.raises(RequestError) as caught:
            WAYS[way](client, "one two boom three")
    assert caught.value.partial_text == "one two"
    assert "the words broke" in str(caught.value)


def test_a_model_that_does_not_say_what_it_takes_can_be_called(url: str) -> None:
    """I-F5."""
    with InferenceClient("double", url, timeout=20) as client:
        result = client.infer({"x": np.array([[1.5, 2.0]], np.float32)})
        assert result["x"].tolist() == [[3.0, 4.0]]
        assert result["x"].dtype == np.float32
        assert asyncio.run(client.ainfer({"x": np.array([[7]], np.int64)}))["x"].tolist() == [[14]]


READ_RESULTS: dict[str, Callable[[InferenceClient, str], list[InferenceResult]]] = {
    "infer_stream": lambda client, text: client.infer_stream({"text_input": [text]}).results(),
    "ainfer_stream": lambda client, text: asyncio.run(client.ainfer_stream({"text_input": [text]}).results()),
}


@pytest.mark.parametrize("way", READ_RESULTS)
def test_its_streams_are_results_too(url: str, way: str) -> None:
    """I-M1: bare responses, with ids of the server's own and no final mark."""
    with InferenceClient("text", url, timeout=20) as client:
        results = READ_RESULTS[way](client, "one two three")
        assert [result["text_output"].item() for result in results] == ["one", " two", " three"]
        with pytest.raises(RequestError, match="the words broke") as caught:
            READ_RESULTS[way](client, "one boom")
    assert len(caught.value.partial_results) == 1


def test_its_models_are_ready(url: str) -> None:
    """I-F6 and I-F15."""
    with ServerClient(url, timeout=20) as client:
        models = {model.name: model for model in client.models()}
        assert {name: model.ready for name, model in models.items()} == {
            "text": True,
            "double": True,
            "codecs": True,
        }
        assert client.is_model_ready("text")
        assert not client.is_model_ready("nothing-like-this")


def test_each_input_is_decoded_as_its_content_type_says(url: str) -> None:
    """I-M4."""
    inputs = {
        "text": InferInput(["a", "b"], {"content_type": "str"}),
        "array": InferInput(np.array([[1.5]], np.float32), {"content_type": "np"}),
        "bare": np.array([["c"]], object),
    }
    with InferenceClient("codecs", url, timeout=20) as client:
        for result in (client.infer(inputs), asyncio.run(client.ainfer(inputs))):
            assert {name: array.ravel()[0] for name, array in result.items()} == {
                "text": "str: list ['a', 'b']",
                "array": "np: ndarray",
                "bare": "None: TensorData",
                "request": "[]",
            }
            assert result.output_parameters == {
                name: {"content_type": "str"} for name in ("text", "array", "bare", "request")
            }
        told = client.infer(inputs, parameters={"who": "me"})["request"].ravel()[0]
        assert told == "[('who', 'me')]"


# --- over HTTP


def test_arrays_over_http(over_http: Callable[..., HttpInferenceClient], url: str) -> None:
    """I-F9: there is no model configuration, and its metadata list no inputs."""
    client = over_http("double")
    client.wait_until_ready(5)
    with InferenceClient("double", url, timeout=20) as over_grpc:
        for array in (np.array([[1.5, 2.0]], np.float32), np.array([[7, -1]], np.int64)):
            result = client.infer({"x": array}, request_id="me")
            assert result["x"].dtype == array.dtype
            assert result["x"].tolist() == over_grpc.infer({"x": array})["x"].tolist()
            assert (result.model, result.request_id) == ("double", "me")


def test_many_arrays_over_http(over_http: Callable[..., HttpInferenceClient]) -> None:
    arrays = [{"x": np.array([[number]], np.int32)} for number in range(30)]
    with over_http("double").map(arrays, concurrency=4) as results:
        assert [result["x"].tolist() for result in results] == [[[2 * number]] for number in range(30)]


def test_parameters_of_inputs_and_outputs_over_http(over_http: Callable[..., HttpInferenceClient]) -> None:
    value = InferInput(np.array([[1.0]], np.float32), {"content_type": "np"})
    result = over_http("double").infer({"x": value})
    assert result.output_parameters["x"]["content_type"] == "np"


HTTP_WAYS: dict[str, Callable[[HttpInferenceClient, str], str]] = {
    "generate": lambda client, prompt: client.generate(prompt).text,
    "stream": lambda client, prompt: "".join(client.stream(prompt)),
}


@pytest.mark.parametrize("way", HTTP_WAYS)
def test_texts_over_http(over_http: Callable[..., HttpInferenceClient], way: str) -> None:
    assert HTTP_WAYS[way](over_http("text"), "one two three") == "one two three"


def test_streams_over_http_come_word_by_word_and_can_be_left(
    over_http: Callable[..., HttpInferenceClient],
) -> None:
    client = over_http("text")
    with client.stream("one two wait three") as stream:
        assert [next(stream), next(stream)] == ["one", " two"]
    assert client.generate("four five").text == "four five"


def test_an_error_in_a_stream_over_http(over_http: Callable[..., HttpInferenceClient]) -> None:
    """Its server breaks the connection off, without a word."""
    with pytest.raises(ConnectionFailedError, match="the connection broke") as caught:
        list(over_http("text").stream("one two boom three"))
    assert caught.value.partial_text == "one two"


def test_an_unknown_model_over_http(over_http: Callable[..., HttpInferenceClient]) -> None:
    for way in (lambda client: client.infer({"x": [1]}), lambda client: client.generate("x")):
        with pytest.raises(ModelUnavailableError):
            way(over_http("nothing-like-this"))
