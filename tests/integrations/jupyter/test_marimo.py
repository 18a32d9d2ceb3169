"""The same in marimo: a chat of chunks, and an output that grows."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import subprocess
import sys

import pytest
from needed import need

need("jupyter")

import marimo as mo
from pages import ROOT

from nupic_client import ConfigurationError, StreamingClient
from nupic_client.integrations.marimo import chat_model
from nupic_client.testing import silence

# What marimo warns of is its business.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.filterwarnings("default")]

ChatMessage = mo.ai.ChatMessage
CONFIG = mo.ai.ChatModelConfig(max_tokens=2, temperature=0.5, top_p=None)


@pytest.fixture
def client(server):
    with StreamingClient("smollm2") as client:
        yield client


def read(answer):
    async def chunks():
        return [chunk async for chunk in answer]

    return asyncio.run(chunks())


def test_a_chat_gets_the_chunks(client, server):
    model = chat_model(client, instructions="Be short.", temperature=0)
    answer = model(
        [ChatMessage("user", "Hi"), ChatMessage("assistant", "Hello."), ChatMessage("user", "Go on")], CONFIG
    )
    assert inspect.isasyncgen(answer)  # only these are streamed
    assert read(answer) == ["**Paris** ", "is", " <script>x</script>", " big."]
    (request,) = server.requests
    assert "system\nBe short." in request.prompt
    assert "user\nHi<" in request.prompt
    assert "assistant\nHello.<" in request.prompt
    assert request.inputs["temperature"] == 0
    assert mo.ui.chat(model)


def test_the_controls_of_the_chat_are_used_where_that_is_wanted(client, server):
    model = chat_model(client, settings=["max_tokens", "top_p"], max_tokens=3)
    assert len(read(model([ChatMessage("user", "Hi")], CONFIG))) == 2
    assert "top_p" not in server.requests[0].inputs
    assert len(read(chat_model(client, max_tokens=3)([ChatMessage("user", "Hi")], CONFIG))) == 3
    with pytest.raises(ConfigurationError, match=r"settings must be some of max_tokens, .*, not 'seed'"):
        chat_model(client, settings="seed")


def test_a_message_in_parts_is_its_text(client, server):
    parts = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]
    read(chat_model(client)([ChatMessage("user", None, parts=parts)], CONFIG))
    assert "user\nHi there<" in server.requests[0].prompt


def test_leaving_the_answer_stops_the_model(client, server):
    server.reply = ["So far", silence()]

    async def leave():
        answer = chat_model(client)([ChatMessage("user", "Hi")], CONFIG)
        assert await anext(answer) == "So far"
        await answer.aclose()

    asyncio.run(leave())
    assert len(server.wait_for_cancellation()) == 1


def test_the_app_of_the_documentation_shows_the_answer(server, tmp_path):
    page = tmp_path / "page.html"
    # It writes a session beside the app.
    app = shutil.copy(ROOT / "docs" / "notebooks" / "marimo_app.py", tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "marimo",
            "-y",
            "export",
            "html",
            app,
            "-o",
            str(page),
            "--no-include-code",
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    shown = page.read_text(encoding="utf-8")
    assert "Paris" in shown
    assert "big." in shown
    assert "marimo-chatbot" in shown
    assert r"\u0026lt;script\u0026gt;x" in shown  # JSON of HTML: the tag of the model is text there
    assert r"\u003Cscript\u003Ex" not in shown
    assert len(server.requests) == 1
