"""The page about Celery: a worker that forks, with its broker and results in folders."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from needed import need
from pages import write_files
from recipes.servers import RECIPES, eventually, program, running

from nupic_client.testing import FakeTriton, abort, silence, sleep, text_signature

need("web")


asked: Counter[str] = Counter()


def reply(request):
    asked[request.prompt] += 1
    if request.prompt == "busy" and asked["busy"] == 1:
        return [abort("RESOURCE_EXHAUSTED", "queue is full")]
    replies = {
        "Once upon a time": ["Once", sleep(0.6), " upon", sleep(0.6), " a time"],
        "busy": ["after all"],
        "silent": ["one", silence()],
        "too long": [
            abort("INVALID_ARGUMENT", "the prompt has 600 tokens, the maximum context length is 512")
        ],
    }
    return replies[request.prompt]


@pytest.fixture(scope="module")
def triton() -> Iterator[FakeTriton]:
    with FakeTriton(reply, models=[text_signature("smollm2.streaming")]) as server:
        yield server


@pytest.fixture(scope="module")
def folder(triton: FakeTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("celery")
    write_files(RECIPES / "celery.md", folder, url=triton.url)
    for name in ("messages", "control", "results"):
        (folder / name).mkdir()
    command = [program("celery"), "-A", "tasks", "worker", "--concurrency", "2", "--loglevel", "INFO"]
    # A shutdown waits for the pool, which may take its time after a task was killed.
    with running(command, folder, lambda log: " ready." in log, signal.SIGKILL):
        yield folder


def run(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:] + (folder / "log").read_text()[-3000:]
    return done.stdout


def test_the_program_of_the_page_prints_the_answer(folder: Path) -> None:
    assert run(folder, (folder / "ask.py").read_text()) == "Once upon a time\n"


def test_the_text_so_far_is_in_the_result_backend(folder: Path) -> None:
    code = """
import time
from tasks import write
result = write.delay("Once upon a time")
seen = set()
while not result.ready():
    if result.state == "WRITING":
        seen.add(result.info["text"])
    time.sleep(0.02)
import json
print(json.dumps([sorted(seen), result.get()]))
"""
    seen, text = json.loads(run(folder, code))
    assert text == "Once upon a time"
    assert seen
    assert {*seen} <= {"Once", "Once upon", "Once upon a time"}


def test_what_may_pass_is_tried_again_by_celery(folder: Path) -> None:
    code = 'from tasks import write; print(write.delay("busy").get(timeout=60))'
    assert run(folder, code) == "after all\n"
    assert asked["busy"] == 2
    assert "Retry in 1s: OverloadedError" in (folder / "log").read_text()


def test_what_cannot_pass_fails_at_once_with_its_class(folder: Path) -> None:
    code = """
from nupic_client import ContextLengthError
from tasks import write
try:
    write.delay("too long").get(timeout=60)
except ContextLengthError as error:
    print(error)
"""
    assert "the maximum context length is 512" in run(folder, code)
    assert asked["too long"] == 1


def test_the_soft_time_limit_stops_the_model(folder: Path, triton: FakeTriton) -> None:
    before = len(triton.cancellations)
    code = """
from celery.exceptions import SoftTimeLimitExceeded
from tasks import write
try:
    write.apply_async(("silent",), soft_time_limit=1).get(timeout=60)
except SoftTimeLimitExceeded:
    print("limit")
"""
    assert run(folder, code) == "limit\n"
    eventually(lambda: len(triton.cancellations) > before)


def test_revoking_stops_the_model(folder: Path, triton: FakeTriton) -> None:
    before = len(triton.cancellations)
    code = """
import time
from tasks import write
result = write.delay("silent")
while result.state != "WRITING":
    time.sleep(0.05)
result.revoke(terminate=True)
"""
    run(folder, code)
    eventually(lambda: len(triton.cancellations) > before)
