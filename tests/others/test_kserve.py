"""KServe's SDK beside us in one process (P-F2), and as the server (I-F5)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nupic_client import InferenceClient, ServerClient
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
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    grpc_port, http_port = free_ports(2)
    folder = tmp_path_factory.mktemp("kserve")
    program = str(Path(__file__).with_name("kserve_server.py"))
    with FakeTriton(["one", " two"]) as triton:
        command = [sys.executable, program, str(grpc_port), str(http_port), triton.url]
        with served(command, grpc_port, folder, "double") as url:
            yield url


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
