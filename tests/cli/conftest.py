import io
import socket
import sys

import pytest

from nupic_client import cli, config
from nupic_client.testing import FakeTriton, text_signature


@pytest.fixture
def server():
    """A server that has the default model and one of which nothing is known."""
    models = [text_signature("smollm2.streaming"), text_signature("gpt.streaming")]
    with FakeTriton(models=models) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh_environment(monkeypatch):
    for name in ("NUPIC_URL", "NUPIC_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NUPIC_HISTORY", "off")
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    monkeypatch.setattr(sys, "argv", ["nupic-client"])


@pytest.fixture
def main():
    """The program in this process."""
    return lambda *arguments: cli.main(arguments)


@pytest.fixture
def typed(monkeypatch):
    """Give stdin a content, as bytes."""
    return lambda content: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def default_url(monkeypatch, free_port):
    """Put the default url where nothing answers."""
    url = f"localhost:{free_port}"
    monkeypatch.setattr(config, "DEFAULT_URL", url)
    return url
