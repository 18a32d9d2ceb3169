import signal
import sys

import pytest

from nupic_client.testing import FakeTriton, text_signature


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_reaches_children():
    """Undo what a shell does to background jobs: their children would inherit that Ctrl-C is ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def server():
    """A server that has the default model and one of which nothing is known."""
    models = [text_signature("smollm2.streaming"), text_signature("gpt.streaming")]
    with FakeTriton(models=models) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh_environment(monkeypatch):
    monkeypatch.delenv("NUPIC_URL", raising=False)
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    monkeypatch.setattr(sys, "argv", ["nupic-client"])


@pytest.fixture
def main():
    """The program in this process."""
    from nupic_client.cli import main

    return lambda *arguments: main(arguments)
