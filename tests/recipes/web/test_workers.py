"""The page about workers: every command of its table, with two workers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from needed import need
from pages import write_files
from recipes.servers import RECIPES, eventually, free_port, program, serving

from nupic_client.testing import FakeTriton, silence, sleep, text_signature

need("web")

import httpx

READY = 'client = StreamingClient("smollm2", url="localhost:8001", timeout=60)'
"""The line after which the preloaded applications also make a call."""


@pytest.fixture(scope="module")
def triton() -> Iterator[FakeTriton]:
    replies = {"Once upon a time": [sleep(0.05), "one", " two"], "silent": ["one", silence()]}
    models = [text_signature("smollm2.streaming")]
    with FakeTriton(lambda request: replies[request.prompt], models=models) as server:
        yield server


def command(line: str, port: int) -> list[str]:
    name, *arguments = line.split()
    bind = (
        ["--port", str(port)]
        if name == "uvicorn"
        else ["--bind", f"127.0.0.1:{port}", "--graceful-timeout", "2"]
    )
    return [program(name), *arguments, *bind]


LINES = (
    "uvicorn app:app --workers 2",
    "gunicorn -w 2 -k asgi app:app",
    "gunicorn -w 2 -k asgi --preload app:app",
    "gunicorn -w 2 -k gthread --threads 32 wsgi:app",
    "gunicorn -w 2 -k gthread --threads 32 --preload wsgi:app",
)


def test_the_commands_are_those_of_the_page() -> None:
    page = (RECIPES / "workers.md").read_text()
    for line in LINES:
        assert line.replace(" 2", " 4", 1).replace(" --preload wsgi", " wsgi") in page


@pytest.mark.parametrize("line", LINES)
def test_each_worker_answers(line: str, triton: FakeTriton, tmp_path: Path) -> None:
    folder = write_files(RECIPES / "workers.md", tmp_path, url=triton.url)
    if "--preload" in line:  # a blocking call before the fork
        for name in ("app.py", "wsgi.py"):
            (folder / name).write_text((folder / name).read_text() + "\nclient.wait_until_ready()\n")
    port = free_port()
    workers: set[str] = set()

    def ask(_: int) -> None:
        answer = httpx.get(url, trust_env=False, timeout=60)
        assert answer.text == "one two"
        workers.add(answer.headers["x-worker"])

    with serving(command(line, port), port, folder) as url, ThreadPoolExecutor(8) as pool:
        eventually(
            lambda: [*pool.map(ask, range(8))] and len(workers) == 2, lambda: f"only {workers}", timeout=60
        )
    log = (folder / "log").read_text()
    assert "Traceback" not in log, log


def test_the_worker_class_sync_is_killed_in_the_middle_of_a_long_answer(
    triton: FakeTriton, tmp_path: Path
) -> None:
    folder = write_files(RECIPES / "workers.md", tmp_path, url=triton.url)
    port = free_port()
    line = command("gunicorn -w 1 -k sync --timeout 1 wsgi:app", port)
    before = len(triton.cancellations)
    with serving(line, port, folder) as url:
        answer = httpx.get(url, params={"prompt": "silent"}, trust_env=False, timeout=60)
        assert answer.status_code == 500
        eventually(lambda: len(triton.cancellations) > before)
    assert "WORKER TIMEOUT" in (folder / "log").read_text()
