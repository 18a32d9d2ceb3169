"""The page about Streamlit, with Streamlit's own runner of applications, and in its server."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from needed import need
from pages import write_files
from recipes.servers import RECIPES, echo, eventually, free_port, serving

from nupic_client.testing import FakeTriton

need("streamlit")

from streamlit.testing.v1 import AppTest


@pytest.fixture(scope="module")
def triton() -> Iterator[FakeTriton]:
    with echo() as server:
        yield server


@pytest.fixture
def app(triton: FakeTriton, tmp_path: Path) -> AppTest:
    folder = write_files(RECIPES / "streamlit.md", tmp_path, triton.url)
    app = AppTest.from_file(str(folder / "app.py"), default_timeout=60).run()
    assert not app.exception
    return app


def shown(app: AppTest) -> list[tuple[str, str]]:
    return [(message.name, message.markdown[0].value) for message in app.chat_message]


def test_two_turns(app: AppTest, triton: FakeTriton) -> None:
    app.chat_input[0].set_value("Hi").run()
    first = [("user", "Hi"), ("assistant", "You said: Hi")]
    assert shown(app) == first
    app.chat_input[0].set_value("And now?").run()
    assert shown(app) == [*first, ("user", "And now?"), ("assistant", "You said: And now?")]
    assert triton.requests[-1].prompt.endswith(
        "system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYou said: Hi"
        "<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_history_survives_a_rerun(app: AppTest) -> None:
    app.chat_input[0].set_value("Hi").run()
    assert shown(app.run()) == [("user", "Hi"), ("assistant", "You said: Hi")]


def test_an_error_is_shown_and_the_turn_is_not_kept(app: AppTest) -> None:
    app.chat_input[0].set_value("fail").run()
    assert app.error[0].value.startswith("InferenceError: the model failed: out of memory")
    assert not app.exception
    app.chat_input[0].set_value("Hi").run()
    assert shown(app) == [("user", "Hi"), ("assistant", "You said: Hi")]


def test_its_server_starts_with_it(triton: FakeTriton, tmp_path: Path) -> None:
    folder = write_files(RECIPES / "streamlit.md", tmp_path, triton.url)
    port = free_port()
    options = {
        "server.port": port,
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
    }
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "app.py",
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    with serving(command, port, folder) as url:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        eventually(lambda: opener.open(f"{url}/_stcore/health", timeout=30).read() == b"ok")
