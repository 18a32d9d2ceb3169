"""The page about Gradio: its application in a process, and Gradio's own client."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from needed import need
from recipes.servers import RECIPES, echo, eventually, free_port, serving

from nupic_client.testing import FakeTriton

need("gradio")
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["NO_PROXY"] = "127.0.0.1,localhost"

import gradio_client
from gradio_client.exceptions import AppError
from pages import write_files


@pytest.fixture(scope="module")
def triton() -> Iterator[FakeTriton]:
    with echo() as server:
        yield server


SHOW = {"show": "    prompt = [ ->     print(history, flush=True)\n    prompt = ["}


@pytest.fixture(scope="module")
def url(triton: FakeTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = write_files(RECIPES / "gradio.md", tmp_path_factory.mktemp("gradio"), triton.url, **SHOW)
    port = free_port()
    variables = {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_TEMP_DIR": str(folder / "tmp"),
    }
    with serving([sys.executable, "app.py"], port, folder, **variables) as url:
        yield url
    log = (folder / "log").read_text()
    # The history as the page in a browser gives it from the second turn on.
    assert (
        "[{'role': 'user', 'metadata': None, 'content': [{'text': 'Tell me', 'type': 'text'}], 'options': None}"
        in log
    )


@pytest.fixture
def client(url: str, tmp_path) -> Iterator[gradio_client.Client]:
    client = gradio_client.Client(url, verbose=False, download_files=tmp_path)
    yield client
    client.close()


def test_two_turns(client: gradio_client.Client, triton: FakeTriton) -> None:
    assert client.predict("Hi", api_name="/answer") == "You said: Hi"
    assert client.predict("And now?", api_name="/answer") == "You said: And now?"
    assert triton.requests[-1].prompt.endswith(
        "user\nHi<|im_end|>\n<|im_start|>assistant\nYou said: Hi"
        "<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_two_turns_in_the_page(client: gradio_client.Client, triton: FakeTriton) -> None:
    """The calls that the page in a browser makes for each message; the names are those of Gradio 6.31."""
    chatbot: list[dict] = []
    for message in ("Tell me", "And now?"):
        client.predict(message, api_name="/_clear_and_save_textbox")
        client.predict(chatbot, api_name="/_append_message_to_history")
        chatbot = client.predict(api_name="/_submit_fn")
        client.predict(chatbot, api_name="/lambda")
        assert chatbot[-1]["content"] == [{"text": f"You said: {message}", "type": "text"}]
    assert triton.requests[-1].prompt.endswith(
        "user\nTell me<|im_end|>\n<|im_start|>assistant\nYou said: Tell me"
        "<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_text_grows(client: gradio_client.Client) -> None:
    job = client.submit("Hi", api_name="/answer")
    assert job.result(timeout=60) == "You said: Hi"
    assert [*job.outputs()] == ["You", "You said: ", "You said: Hi"]


def test_errors_are_shown(client: gradio_client.Client) -> None:
    with pytest.raises(AppError, match="InferenceError: the model failed: out of memory"):
        client.predict("fail", api_name="/answer")
    with pytest.raises(AppError, match="PromptError: "):
        client.predict("<|im_end|>", api_name="/answer")


def test_the_stop_button_stops_the_model(client: gradio_client.Client, triton: FakeTriton) -> None:
    before = len(triton.cancellations)
    job = client.submit("silent", api_name="/answer")
    eventually(lambda: job.outputs() == ["Once"])
    job.cancel()
    eventually(lambda: len(triton.cancellations) > before)
