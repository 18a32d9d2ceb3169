from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from integrations.counts import count

from nupic_client import StreamingClient
from nupic_client.observers import everywhere
from nupic_client.testing import FakeTriton

VARIABLES = ("OTEL_", "TRACEPARENT")


def pytest_configure(config: pytest.Config) -> None:
    suites = {
        "test_util_genai.py": "beside OpenTelemetry's own library",
        "test_triton.py": "with the real Triton",
    }
    count(config, "opentelemetry", suites, packages=("opentelemetry-sdk", "opentelemetry-util-genai"))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of this machine, and no observer that is left."""
    for name in [*os.environ]:
        if name.startswith(VARIABLES):
            monkeypatch.delenv(name)
    yield
    assert everywhere.observers == ()


@pytest.fixture
def memory() -> Any:
    from integrations.opentelemetry.recording import Memory  # noqa: PLC0415 - only where it is installed

    return Memory()


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    with FakeTriton(["a", "b"]) as server:
        yield server


@pytest.fixture
def client(server: FakeTriton) -> Iterator[StreamingClient]:
    with StreamingClient("gpt.streaming", server.url, formatter="chatml") as client:
        yield client
