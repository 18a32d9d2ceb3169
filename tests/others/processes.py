"""Servers of others as processes, and programs that import them beside us."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nupic_client import DeadlineExceededError, ServerClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["USE_OURS", "free_ports", "need", "run", "served"]

START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0

USE_OURS = """
from nupic_client import StreamingClient
from nupic_client.testing import FakeTriton
with FakeTriton(["one", " two"]) as server, StreamingClient("gpt.streaming", url=server.url) as client:
    assert client.generate("hi", max_tokens=5).text == "one two"
"""


def need(package: str) -> None:
    """Skip the module that calls this, but in the session of the package."""
    if os.environ.get("NUPIC_OTHER") != package:
        pytest.skip(f"nox -s others has {package}", allow_module_level=True)


def run(program: str) -> None:
    """Run a program in another process."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def served(
    command: Sequence[str], port: int, folder: Path, model: str, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Start a server, with further variables, and wait until a model is ready; give its url and stop it."""
    log = folder / "log"
    url = f"127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
    try:
        with ServerClient(url) as client:
            try:
                client.wait_until_ready(model, timeout=START_TIMEOUT)
            except DeadlineExceededError:
                pytest.fail(log.read_text(errors="replace")[-3000:])
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
