import pytest
from batch.files import Files, echo

from nupic_client.testing import FakeTriton, text_signature


@pytest.fixture
def server():
    """A server that answers a prompt by repeating its number."""
    models = [text_signature("smollm2.streaming"), text_signature("gpt.streaming")]
    with FakeTriton(echo, models=models) as server:
        yield server


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)
