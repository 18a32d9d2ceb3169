"""`ClientFactory`, as NuPIC scripts use it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from nupic.client.inference_client import ClientFactory
from nupic_client import ConfigurationError, InferenceClient
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


@pytest.mark.skipif(importlib.util.find_spec("geventhttpclient") is not None, reason="HTTP is installed")
def test_http_says_what_to_install():
    with pytest.raises(ConfigurationError) as caught:
        ClientFactory.get_client("sbert", "localhost:8000", "http")
    assert "pip install 'tritonclient[http]'" in str(caught.value)
    assert "8001" in str(caught.value)


@pytest.mark.slow
def test_numpy_is_only_imported_where_arrays_are():
    code = """
import sys
import nupic_client, nupic.client.inference_client
nupic_client.StreamingClient("gpt", "localhost:9").close()
assert "numpy" not in sys.modules
nupic_client.InferenceClient
assert "numpy" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
