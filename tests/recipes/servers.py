"""Web servers as processes, started as a reader of the recipes starts them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from nupic_client.testing import FakeTriton, fail, silence, text_signature

__all__ = ["RECIPES", "echo", "eventually", "free_port", "program", "running", "serving"]

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
START_TIMEOUT = 90.0
STOP_TIMEOUT = 60.0


def echo() -> FakeTriton:
    """Return a server that repeats the last message; at "fail" it fails after a word, at "silent" it falls silent."""

    def reply(request):
        question = request.prompt.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]
        return {"fail": ["Once", fail("out of memory")], "silent": ["Once", silence()]}.get(
            question, ["You", " said: ", question]
        )

    return FakeTriton(reply, models=[text_signature("smollm2.streaming")])


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """Return the path of a program of the environment that the tests run in."""
    return str(Path(sys.executable).with_name(name))


def eventually(condition: Callable[[], object], what: object = "", timeout: float = 30.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.02)


@contextlib.contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    ready: Callable[[str], object],
    ending: signal.Signals = signal.SIGTERM,
    **variables: str,
) -> Iterator[Path]:
    """Run a program in a folder, from when it is ready, which its log or a question to it tells; give the log's path.

    At the end it is asked to stop by a signal, and must do so in time; what it has started is killed.
    """
    log = folder / "log"
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "GUNICORN_CMD_ARGS": "--no-control-socket",  # which it would make in the home folder
        **variables,
    }
    environment.pop("NUPIC_LOG", None)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=environment)
    try:
        end = time.monotonic() + START_TIMEOUT
        while not ready(log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{command} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        yield log
    finally:
        family = []
        if process.poll() is None:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            process.send_signal(ending)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            _, alive = psutil.wait_procs(family, timeout=5)
            for left in alive:
                left.kill()


@contextlib.contextmanager
def serving(command: Sequence[str], port: int, folder: Path, **variables: str) -> Iterator[str]:
    """Run a web server in a folder, from when it accepts connections at a port; give its url."""

    def ready(_: str) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    with running(command, folder, ready, **variables):
        yield f"http://127.0.0.1:{port}"
