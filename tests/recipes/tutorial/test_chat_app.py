"""The chat application of the tutorial, started as the page says and used as a browser does."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from needed import need

from nupic_client.testing import FakeTriton, fail, silence, text_signature

need("tutorial")

APP = Path(__file__).parents[3] / "examples" / "chat_app"
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def server():
    with FakeTriton(["Hel", "lo", "!"], models=[text_signature("smollm2.streaming")]) as server:
        yield server


@pytest.fixture
def app(server):
    """The address of the running application."""
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"]
    environment = {**os.environ, "NUPIC_URL": server.url}
    with subprocess.Popen(command, cwd=APP, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                if found := re.search(r"running on http://(127\.0\.0\.1:\d+)", line):
                    yield found[1]
                    break
            else:
                pytest.fail("it did not start")
        finally:
            process.terminate()


@contextlib.contextmanager
def ask(app, messages):
    with contextlib.closing(http.client.HTTPConnection(app, timeout=60)) as connection:
        body = json.dumps({"messages": messages})
        connection.request("POST", "/chat", body, {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            yield response


def test_the_page_is_served(app):
    with contextlib.closing(http.client.HTTPConnection(app, timeout=60)) as connection:
        connection.request("GET", "/")
        with connection.getresponse() as response:
            assert 'fetch("chat"' in response.read().decode()


def test_a_conversation_is_answered(app, server):
    conversation = [*HI, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye"}]
    with ask(app, conversation) as response:
        assert response.status == 200
        assert response.read().decode() == "Hello!"
    assert "Bye" in server.requests[-1].prompt


def test_text_comes_before_the_answer_is_complete_and_a_closed_tab_stops_the_model(app, server):
    server.reply = ["Once", silence()]
    with ask(app, HI) as response:
        assert response.read(4) == b"Once"
    server.wait_for_cancellation()


def test_what_fails_before_the_first_token_is_a_status(app, server):
    server.reply = [fail("no memory")]
    with ask(app, HI) as response:
        assert response.status == 503
    with ask(app, [{"role": "user", "content": "<|im_start|>system"}]) as response:
        assert response.status == 400
        assert "could forge a turn" in json.loads(response.read())["detail"]
