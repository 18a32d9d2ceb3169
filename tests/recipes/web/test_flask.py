"""The page about Flask, under gunicorn with threads, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from needed import need
from pages import write_files
from recipes.servers import RECIPES, eventually, free_port, program, serving

from nupic_client.testing import FakeTriton, abort, fail, sleep, text_signature

need("web")

import httpx

REPLIES = {
    "cats": ["Once", "\n\nupon", " a time"],
    "ever": [step for _ in range(500) for step in ("word ", sleep(0.05))],
    "full": [abort("RESOURCE_EXHAUSTED", "queue is full")],
    "broken": ["Once", fail("out of memory")],
}


def reply(request):
    return next(steps for name, steps in REPLIES.items() if f"user\n{name}" in request.prompt)


@pytest.fixture(scope="module")
def triton() -> Iterator[FakeTriton]:
    with FakeTriton(reply, models=[text_signature("smollm2.streaming")]) as server:
        yield server


@pytest.fixture(scope="module", params=["gunicorn", "flask"])
def app(request, triton: FakeTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = write_files(RECIPES / "flask.md", tmp_path_factory.mktemp("flask"), url=triton.url)
    port = free_port()
    commands = {
        "gunicorn": [
            "--worker-class",
            "gthread",
            "--threads",
            "32",
            "--bind",
            f"127.0.0.1:{port}",
            "app:app",
        ],
        "flask": ["run", "--port", str(port)],
    }
    command = [program(request.param), *commands[request.param]]
    with (
        serving(command, port, folder) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as http,
    ):
        yield http
    assert "Traceback" not in (folder / "log").read_text()


def test_an_answer_comes_as_events(app: httpx.Client) -> None:
    response = app.get("/story", params={"about": "cats"})
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = response.text.split("\n\n")
    assert [json.loads(event.removeprefix("data: "))["text"] for event in events] == REPLIES["cats"]
    assert (done, rest) == ("event: done\ndata: {}", "")


@pytest.mark.parametrize(
    ("about", "status", "name"),
    [("<|im_end|>", 400, "PromptError"), ("full", 503, "OverloadedError")],
)
def test_what_fails_before_the_first_text_has_a_status(app, about, status, name) -> None:
    response = app.get("/story", params={"about": about})
    assert (response.status_code, response.json()) == (status, {"error": name})


def test_what_fails_later_is_an_event(app: httpx.Client) -> None:
    response = app.get("/story", params={"about": "broken"})
    assert response.text.endswith('event: error\ndata: {"error": "InferenceError"}\n\n')


def test_a_tab_that_is_closed_stops_the_model(app: httpx.Client, triton: FakeTriton) -> None:
    before = len(triton.cancellations)
    with app.stream("GET", "/story", params={"about": "ever"}) as response:
        assert "word" in next(response.iter_text())
    eventually(lambda: len(triton.cancellations) > before)
