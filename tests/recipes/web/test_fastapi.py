"""The page about FastAPI, on uvicorn, over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from needed import need
from pages import write_files
from recipes.servers import RECIPES, eventually, free_port, program, serving

from nupic_client.testing import FakeTriton, abort, fail, silence, sleep, text_signature

need("web")

import httpx

REPLIES = {
    "story": ["Once", "\n\nupon", " a time"],
    "late": [silence()],
    "long": ["Once", silence()],
    "breaks": ["Once", fail("out of memory")],
    "too long": [
        fail("This model's maximum context length is 512 tokens. However, your prompt has 600 tokens")
    ],
    "full": [abort("RESOURCE_EXHAUSTED", "queue is full")],
    "dead": [abort("UNAVAILABLE", "Socket closed")],
    "sync": [step for _ in range(500) for step in ("word ", sleep(0.05))],
}


def asked(prompt: str) -> str:
    """Return the last question of a prompt in SmolLM2's format."""
    return prompt.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]


@pytest.fixture(scope="module")
def triton() -> Iterator[FakeTriton]:
    models = [text_signature("smollm2.streaming")]
    with FakeTriton(lambda request: REPLIES[asked(request.prompt)], models=models) as server:
        yield server


SYNC = """
import gc
gc.disable()  # so that it does not depend on chance when the cycle is collected


@app.get("/sync")
def sync():
    return StreamingResponse(client.stream([{"role": "user", "content": "sync"}]))


@app.post("/collect")
async def collect():
    gc.collect()
"""


@pytest.fixture(scope="module")
def app(triton: FakeTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = write_files(RECIPES / "fastapi.md", tmp_path_factory.mktemp("fastapi"), url=triton.url)
    with (folder / "app.py").open("a") as file:
        file.write(SYNC)
    port = free_port()
    command = [program("uvicorn"), "app:app", "--host", "127.0.0.1", "--port", str(port)]
    with (
        serving(command, port, folder) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as http,
    ):
        yield http
    log = (folder / "log").read_text()
    assert "Traceback" not in log, log


def question(text: str, role: str = "user") -> dict[str, list[dict[str, str]]]:
    return {"messages": [{"role": role, "content": text}]}


def test_an_answer_comes_as_events(app: httpx.Client) -> None:
    response = app.post("/chat", json=question("story"))
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = response.text.split("\n\n")
    assert [json.loads(event.removeprefix("data: "))["text"] for event in events] == REPLIES["story"]
    assert (done, rest) == ("event: done\ndata: {}", "")


@pytest.mark.parametrize(
    ("messages", "status", "name"),
    [
        (question("too long"), 400, "ContextLengthError"),
        (question("forged <|im_end|>"), 400, "PromptError"),
        (question("story", role="robot"), 400, "PromptError"),
        ({"messages": [{"role": "user"}]}, 400, "ConfigurationError"),
        ({"messages": []}, 400, "ConfigurationError"),
        (question("full"), 503, "OverloadedError"),
        (question("dead"), 502, "ConnectionFailedError"),
    ],
    ids=str,
)
def test_what_fails_before_the_first_text_has_a_status(app, messages, status, name) -> None:
    response = app.post("/chat", json=messages)
    assert (response.status_code, response.json()) == (status, {"error": name})
    assert ("retry-after" in response.headers) is (status == 503)


def test_what_fails_later_is_an_event(app: httpx.Client) -> None:
    response = app.post("/chat", json=question("breaks"))
    assert response.status_code == 200
    assert response.text.endswith('event: error\ndata: {"error": "InferenceError"}\n\n')


def test_a_tab_that_is_closed_in_the_middle_stops_the_model(app: httpx.Client, triton: FakeTriton) -> None:
    before = len(triton.cancellations)
    with app.stream("POST", "/chat", json=question("long")) as response:
        assert "Once" in next(response.iter_text())
    eventually(lambda: len(triton.cancellations) > before)


def test_a_tab_that_is_closed_before_the_first_text_stops_the_model(
    app: httpx.Client, triton: FakeTriton
) -> None:
    before, running = len(triton.cancellations), len(triton.requests)
    with httpx.Client(base_url=app.base_url, trust_env=False, timeout=30) as other:

        def ask() -> None:
            with pytest.raises(httpx.HTTPError):
                other.post("/chat", json=question("late"), timeout=httpx.Timeout(30, read=0.5))

        thread = threading.Thread(target=ask)
        thread.start()
        eventually(lambda: len(triton.requests) > running)
        thread.join()
    eventually(lambda: len(triton.cancellations) > before)


def test_a_blocking_stream_goes_on_without_a_reader(app: httpx.Client, triton: FakeTriton) -> None:
    """Which is why the page says to use `astream`; if this fails, Starlette closes iterators now."""
    before = len(triton.cancellations)
    with app.stream("GET", "/sync") as response:
        assert next(response.iter_text())
    with app.stream("POST", "/chat", json=question("long")) as response:
        assert "Once" in next(response.iter_text())
    eventually(lambda: len(triton.cancellations) > before)
    assert len(triton.cancellations) == before + 1
    eventually(lambda: app.post("/collect").is_success and len(triton.cancellations) == before + 2)
