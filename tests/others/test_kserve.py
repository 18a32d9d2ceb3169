"""KServe's SDK beside us in one process (P-F2), and as the server (I-F5)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nupic_client import (
    HttpInferenceClient,
    InferenceClient,
    ModelSignature,
    ModelUnavailableError,
    RequestError,
    ServerClient,
    TensorSpec,
)
from nupic_client.local import text_signature
from nupic_client.testing import FakeTriton
from others.processes import USE_OURS, free_ports, need, run, served

need("kserve")

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

USE_THEIRS = """
import kserve, kserve.protocol.grpc.grpc_predict_v2_pb2 as theirs
assert theirs.ModelInferRequest(id="x").SerializeToString() == b"\\x1a\\x01x"
"""


@pytest.mark.parametrize("program", [USE_THEIRS + USE_OURS, USE_OURS + USE_THEIRS], ids=["before", "after"])
def test_it_can_be_imported_before_and_after_us(program: str) -> None:
    """P-F2."""
    run(program)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return its urls for gRPC and for HTTP."""
    grpc_port, http_port = free_ports(2)
    folder = tmp_path_factory.mktemp("kserve")
    program = str(Path(__file__).with_name("kserve_server.py"))
    with FakeTriton(["one", " two"]) as triton:
        command = [sys.executable, program, str(grpc_port), str(http_port), triton.url]
        with served(command, grpc_port, folder, "double") as url:
            yield url, f"127.0.0.1:{http_port}"


@pytest.fixture(scope="module")
def url(urls: tuple[str, str]) -> str:
    return urls[0]


def test_a_model_that_does_not_say_what_it_takes_can_be_called(url: str) -> None:
    """I-F5."""
    with InferenceClient("double", url, timeout=20) as client:
        assert client.infer({"x": np.array([[1.5, 2.0]], np.float32)})["x"].tolist() == [[3.0, 4.0]]
        assert asyncio.run(client.ainfer({"x": np.array([7], np.int64)}))["x"].tolist() == [14]


def test_a_transformer_calls_another_server_with_our_client(url: str) -> None:
    """P-F2."""
    with InferenceClient("transformer", url, timeout=20) as client:
        assert client.infer({"text_input": ["hi"]})["text_output"].tolist() == ["one two"]


def test_its_health_is_told(url: str) -> None:
    with ServerClient(url, timeout=20) as client:
        assert client.is_live()
        assert client.is_ready()
        assert client.is_model_ready("double")


def test_arrays_over_http(urls: tuple[str, str]) -> None:
    """I-F9: there is no model configuration, and its metadata list no inputs."""
    with HttpInferenceClient("double", urls[1], timeout=20) as client:
        client.wait_until_ready(5)
        assert client.infer({"x": np.array([[1.5, 2.0]], np.float32)})["x"].tolist() == [[3.0, 4.0]]
        arrays = [{"x": np.array([number], np.int64)} for number in range(20)]
        assert [r["x"].tolist() for r in client.map(arrays, concurrency=4)] == [[2 * n] for n in range(20)]


def test_a_text_over_http(urls: tuple[str, str]) -> None:
    text = ModelSignature(
        "transformer",
        {"text_input": TensorSpec("text_input", "BYTES", (1,))},
        {"text_output": TensorSpec("text_output", "BYTES", (1,))},
    )
    with HttpInferenceClient("transformer", urls[1], timeout=20, signature=text) as client:
        assert client.generate("hi").text == "one two"


def test_errors_over_http(urls: tuple[str, str]) -> None:
    with HttpInferenceClient("nothing-like-this", urls[1], timeout=20) as client:
        with pytest.raises(ModelUnavailableError):
            client.infer({"x": np.zeros(1, np.float32)})
    streaming = text_signature("double")
    with HttpInferenceClient("double", urls[1], timeout=20, signature=streaming) as client:
        with pytest.raises(RequestError, match="does not stream over HTTP"):
            client.generate("x")
