"""The page about gevent: many slow answers at once in one process. The rest is in `tests/others/test_gevent.py`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from needed import need
from pages import write_files
from recipes.servers import RECIPES, eventually, free_port, program, serving

from nupic_client.testing import FakeTriton, silence, sleep, text_signature

need("web")

import httpx

READERS = 6


def test_answers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Each begins before any of them ends: the model ends them only when all have begun."""
    begun = threading.Barrier(READERS)

    def reply(request):
        yield "one"
        begun.wait(timeout=60)
        yield " two"

    with FakeTriton(reply, models=[text_signature("smollm2.streaming")]) as triton:
        folder = write_files(
            RECIPES / "gevent.md", tmp_path, url=triton.url, workers="workers = 2 -> workers = 1"
        )
        port = free_port()
        with serving([program("gunicorn"), "-b", f"127.0.0.1:{port}", "app:app"], port, folder) as url:
            with ThreadPoolExecutor(READERS) as pool:
                answers = pool.map(lambda _: httpx.get(url, trust_env=False, timeout=60).text, range(READERS))
                assert [*answers] == ["one two"] * READERS
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "UserWarning" not in log


def test_a_browser_that_leaves_stops_the_model(tmp_path: Path) -> None:
    words = [step for _ in range(500) for step in ("word ", sleep(0.05))]
    with FakeTriton([*words, silence()], models=[text_signature("smollm2.streaming")]) as triton:
        folder = write_files(RECIPES / "gevent.md", tmp_path, url=triton.url)
        port = free_port()
        with serving([program("gunicorn"), "-b", f"127.0.0.1:{port}", "app:app"], port, folder) as url:
            with httpx.stream("GET", url, trust_env=False, timeout=60) as response:
                assert "word" in next(response.iter_text())
            eventually(lambda: triton.cancellations)
