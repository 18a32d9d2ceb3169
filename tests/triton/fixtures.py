"""The real server as pytest fixtures. All tests of a run share one; it starts when the first asks."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any

import pytest
from again import has_died

from nupic_client.errors import LocalModelError
from nupic_client.local.triton.install import install
from triton.raw import Raw
from triton.server import RealTriton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nupic_client.local.engine import FinalPlacement
    from nupic_client.testing import ReplySource

__all__ = [
    "lent_server",
    "needs_triton",
    "pytest_collection_modifyitems",
    "raw",
    "real_triton",
    "require_server",
    "serve_real",
]

DEFAULT_REPLY = ("Hello", ", ", "world", "!")


def require_server(install: Callable[[], object] = install) -> None:
    """Install the server. Where it cannot run the test is skipped, or fails if it must not be skipped."""
    try:
        install()
    except LocalModelError as error:
        must = os.environ.get("NUPIC_REQUIRE_TRITON") or os.environ.get("CI", "").lower() == "true"
        (pytest.fail if must else pytest.skip)(str(error))


def shared_server() -> RealTriton:
    """Return the running server that the tests share; it ends with the process.

    A test that kills it takes nothing away from the next: that one gets a new server. So does one in which it died.
    """
    server = _running_server()
    if not server.running or has_died(server.server):
        server.stop()
        _running_server.cache_clear()
        server = _running_server()
    return server


@functools.cache
def _running_server() -> RealTriton:
    server = RealTriton().start()
    atexit.register(server.stop)
    return server


@pytest.fixture(scope="session")
def needs_triton() -> None:
    """Install the server for tests that start it themselves."""
    require_server()


@contextlib.contextmanager
def lent_server(
    reply: ReplySource = DEFAULT_REPLY, final: FinalPlacement = "separate"
) -> Iterator[RealTriton]:
    """Lend the shared server to one test: nothing that was before can be seen on it."""
    require_server()
    server = shared_server()
    server.clear()
    server.reply = reply
    server.final = final
    yield server
    server.reply = ()


@pytest.fixture
def real_triton() -> Iterator[RealTriton]:
    """Return the shared server; set its ``reply`` to say what ``gpt`` and ``gpt.streaming`` answer."""
    with lent_server() as server:
        yield server


@pytest.fixture
def serve_real() -> Iterator[Callable[..., RealTriton]]:
    """Return what starts a real server for one test: it takes the arguments of `RealTriton`."""
    require_server()
    started: list[RealTriton] = []

    def serve(*args: Any, **options: Any) -> RealTriton:
        server = RealTriton(*args, **options)
        started.append(server)
        return server.start()

    yield serve
    for server in started:
        server.stop()


@pytest.fixture
def raw(real_triton: RealTriton) -> Iterator[Raw]:
    """Return calls to the shared server."""
    calls = Raw(real_triton.url)
    yield calls
    calls.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Do not count the installation and the start of the server as time of the test that comes first."""
    for item in items:
        if {"real_triton", "serve_real", "needs_triton"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(300, func_only=True))
