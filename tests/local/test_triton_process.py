"""What waits for the real Triton, tried on processes that are none."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from nupic_client.errors import DeadlineExceededError, LocalModelError
from nupic_client.local import TritonServer
from nupic_client.local.kserve.address import free_port
from nupic_client.local.triton import process as triton_process
from nupic_client.local.triton.process import TritonProcess

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Triton runs on Linux")


@pytest.fixture
def running(tmp_path):
    """Return a function that makes a TritonProcess of a Python program."""
    started = []

    def running(program):
        triton = TritonProcess(tmp_path)
        triton.folder = tmp_path
        triton.url = f"127.0.0.1:{free_port('127.0.0.1')}"
        triton.process = subprocess.Popen([sys.executable, "-c", program])
        started.append(triton.process)
        return triton

    (tmp_path / "log").write_text("said this")
    yield running
    for process in started:
        process.kill()
        process.wait()


def test_a_server_that_does_not_listen_is_a_passed_deadline(running):
    triton = running("import time; time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"not ready after 0\.1 s: no port is open") as caught:
        triton.wait_until_ready(0.1)
    assert time.monotonic() - start < 5
    assert (caught.value.limit, caught.value.target, caught.value.status) == (0.1, triton.url, "")


def test_a_server_that_ends_is_an_error_with_its_log(running):
    with pytest.raises(LocalModelError, match="ended before it was ready; the end of its log:\nsaid this"):
        running("").wait_until_ready(30)


def test_a_start_that_takes_too_long_is_an_error_with_the_log(running, monkeypatch):
    monkeypatch.setattr(triton_process, "START_TIMEOUT", 0.1)
    triton = running("import time; time.sleep(60)")
    with pytest.raises(LocalModelError, match=r"is not ready after 0\.1 s.*\nsaid this"):
        triton._check_started()


def test_waiting_for_a_server_that_was_not_started_is_an_error():
    with pytest.raises(LocalModelError, match="not running"):
        TritonServer().wait_until_ready(1)


PROGRAM = """#!{python}
import pathlib, socket, sys, time
tries = pathlib.Path({tries!r})
count = len(tries.read_text()) if tries.exists() else 0
tries.write_text("x" * (count + 1))
if count < {failures}:
    sys.exit({words!r})
port = next(int(word.rpartition("=")[2]) for word in sys.argv if word.startswith("--grpc-port="))
server = socket.create_server(("127.0.0.1", port))
time.sleep(600)
"""
LOCK = "terminate called after throwing an instance of 'boost::interprocess::lock_exception'"


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Return a function that starts a program in place of Triton's, which fails so many times with some words."""

    def started(failures, words):
        program = tmp_path / "tritonserver"
        tries = tmp_path / "tries"
        values = {"python": sys.executable, "tries": str(tries), "failures": failures, "words": words}
        program.write_text(PROGRAM.format(**values))
        program.chmod(0o755)
        installation = SimpleNamespace(server=program, python_backend=tmp_path, environment={})
        monkeypatch.setattr(triton_process, "install", lambda _progress: installation)
        others = set(triton_process._running)
        try:
            with TritonProcess(tmp_path, secure=True):  # with TLS it is asked for nothing more than to listen
                pass
        finally:
            assert triton_process._running == others
        return len(tries.read_text())

    return started


def test_a_start_that_fails_by_chance_is_tried_again(started):
    assert started(2, LOCK) == 3


def test_a_start_that_fails_by_chance_again_and_again_is_an_error(started):
    with pytest.raises(LocalModelError, match="lock_exception"):
        started(3, LOCK)


def test_a_start_that_fails_for_a_reason_is_not_tried_again(started, tmp_path):
    with pytest.raises(LocalModelError, match="no such model"):
        started(1, "no such model")
    assert (tmp_path / "tries").read_text() == "x"
