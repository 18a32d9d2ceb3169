"""What the tests of known defects share: a server, a client, both flavours, and programs of their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest

from nupic_client import Generation, StreamingClient
from nupic_client.testing import FakeTriton, silence

ENDLESS = ["one", " two", silence()]

Generate = Callable[..., Generation]
"""``client.generate``, or ``client.agenerate`` in a loop of its own."""


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    with FakeTriton(["one", " two"]) as server:
        yield server


@pytest.fixture
def client(server: FakeTriton) -> Iterator[StreamingClient]:
    with StreamingClient("gpt.streaming", url=server.url) as client:
        yield client


@pytest.fixture(params=["sync", "async"])
def generate(request: pytest.FixtureRequest) -> Generate:
    if request.param == "sync":
        return StreamingClient.generate
    return lambda client, *args, **options: asyncio.run(client.agenerate(*args, **options))


@pytest.fixture
def run() -> Callable[..., str]:
    """Run a program that gets the arguments; what it prints to stderr, crashes and hangs are failures."""

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith("GRPC_")},
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run
