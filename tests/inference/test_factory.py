"""`ClientFactory`, as NuPIC scripts use it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from inference.tensor_server import TensorServer, echo, signature

from nupic.client.inference_client import ClientFactory
from nupic_client import ConfigurationError, InferenceClient
from nupic_client.http_inference import HttpInferenceClient
from nupic_client.testing import FakeTriton, text_signature


def test_a_script_for_nupic_runs():
    model = text_signature("sbert", decoupled=False, options=[])
    with FakeTriton(["Hello"], models=[model]) as server:
        client = ClientFactory.get_client("sbert", server.url, "grpc")
        assert isinstance(client, InferenceClient)
        assert np.asarray(client.infer(["a sentence"])).tolist() == ["Hello"]
        client.close()


def test_grpc_is_the_default_and_options_go_on():
    with ClientFactory.get_client("sbert", "localhost:9", timeout=3) as client:
        assert client.url == "localhost:9"


def test_other_protocols_are_refused():
    with pytest.raises(ConfigurationError, match="protocol must be 'grpc' or 'http', not 'rest'"):
        ClientFactory.get_client("sbert", "localhost:8000", "rest")


def test_http_needs_nothing_more():
    with ClientFactory.get_client("sbert", "localhost:9000", "http", timeout=3) as client:
        assert isinstance(client, HttpInferenceClient)
        assert client.url == "localhost:9000"


@pytest.mark.slow
def test_numpy_is_only_imported_where_arrays_are():
    code = """
import sys
import nupic_client, nupic.client.inference_client
nupic_client.StreamingClient("gpt", "localhost:9").close()
assert "numpy" not in sys.modules
client = nupic_client.InferenceClient("echo", sys.argv[1])
client.map([["a"]])
assert "numpy" not in sys.modules
client.infer(["a"])
assert "numpy" in sys.modules
"""
    with TensorServer(signature("echo", {"text": ("BYTES", (-1,))}), answer=echo) as server:
        subprocess.run([sys.executable, "-c", code, server.url], check=True)
