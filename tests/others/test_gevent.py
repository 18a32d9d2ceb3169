"""U-B6: gevent, by hand and as gunicorn's worker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from canary import canary

from nupic_client._grpc import gevent as ours
from nupic_client.testing import FakeTriton, silence, sleep
from others.processes import free_ports, need

need("gevent")

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
PROGRAM = FOLDER / "gevent_program.py"
WARNING = (
    "gevent_program.py: UserWarning: gevent has patched threading, but gRPC was not told: a blocking call stops all"
    " greenlets until it ends. Call grpc.experimental.gevent.init_gevent() right after monkey.patch_all()"
)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeTriton]:
    replies = {
        "whole": ["one", " two"],
        "slow": [sleep(0.3), "one"],
        "silent": ["one", silence()],
        "late": [silence()],
    }
    with FakeTriton(lambda request: replies[request.prompt]) as server:
        yield server


def run(server: FakeTriton, *what: str) -> tuple[str, str]:
    command = [sys.executable, str(PROGRAM), server.url, *what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, done.stderr


def test_who_does_not_tell_grpc_is_warned_once(server: FakeTriton) -> None:
    said, errors = run(server, "warned")
    assert (said, errors) == (f"{[WARNING]}\n", "")


def test_who_tells_grpc_is_not_warned(server: FakeTriton) -> None:
    assert run(server, "init", "warned") == ("[]\n", "")


def test_greenlets_go_on_while_one_waits(server: FakeTriton) -> None:
    assert run(server, "init", "greenlets") == ("", "")


def test_greenlets_that_wait_are_woken_by_deadlines(server: FakeTriton) -> None:
    assert run(server, "init", "deadline") == ("", "")


@pytest.mark.parametrize("told", [True, False])
def test_a_fork_is_survived_in_silence(server: FakeTriton, told: bool) -> None:
    said, errors = run(server, *(["init"] if told else []), "fork")
    assert said == ""
    assert "Traceback" not in errors
    assert "Error" not in errors
    assert ("UserWarning" in errors) is not told


PATCHED = """
from gevent import monkey
monkey.patch_all()
import grpc.experimental.gevent
grpc.experimental.gevent.init_gevent()
"""


@contextlib.contextmanager
def gunicorn(folder: Path, server: FakeTriton, *options: str, **variables: str) -> Iterator[str]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/"
    program = Path(sys.executable).with_name("gunicorn")
    command = [
        str(program),
        "-k",
        "gevent",
        "-w",
        "2",
        "-b",
        f"127.0.0.1:{port}",
        "--graceful-timeout",
        "2",
        *options,
    ]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--chdir", str(FOLDER), "gevent_app:app"],
            env={**os.environ, "TRITON": server.url, **variables},
            stdout=output,
            stderr=output,
        )
    try:
        end = time.monotonic() + 30
        while log.read_text().count("Booting worker") < 2:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)
    assert "un-acquired" not in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("variables", [{}, {"CALL": "1"}, {"INIT": "1"}, {"INIT": "1", "CALL": "1"}], ids=str)
@pytest.mark.parametrize("way", ["load in workers", "preload", "preload, patched in the configuration"])
def test_gunicorn(tmp_path: Path, server: FakeTriton, way: str, variables: dict[str, str]) -> None:
    """Also with a call in the process that the workers are forked from, before gevent patches anything."""
    options = ["--preload"] if "preload" in way else []
    if "patched" in way:
        configuration = tmp_path / "configuration.py"
        configuration.write_text(PATCHED)
        options += ["-c", str(configuration)]
    with gunicorn(tmp_path, server, *options, **variables) as url, ThreadPoolExecutor(6) as pool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        answers = pool.map(lambda _: opener.open(url, timeout=15).read(), range(6))
        assert list(answers) == [b"one"] * 6


def test_grpc_says_whether_it_was_told() -> None:
    program = """if True:
        from gevent import monkey
        monkey.patch_all()
        from grpc._cython import cygrpc
        import grpc.experimental.gevent
        assert cygrpc.g_gevent_activated is False
        grpc.experimental.gevent.init_gevent()
        assert cygrpc.g_gevent_activated is True
    """
    with canary(
        "grpcio",
        "cygrpc.g_gevent_activated",
        ours,
        "who uses gevent and does not tell gRPC is not warned",
    ):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-500:]
