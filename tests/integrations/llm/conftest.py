from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from integrations.counts import count

from nupic_client.testing import FakeTriton, competent_model, text_signature


def pytest_configure(config: pytest.Config) -> None:
    count(config, "llm", {}, packages=("llm",))


@pytest.fixture(autouse=True)
def folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The host's own folder, with nothing of this machine in it."""
    for name in list(os.environ):
        if name.startswith(("LLM_", "NUPIC_")) and name not in ("NUPIC_INTEGRATION", "NUPIC_WRITE_COUNTS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "llm"


@pytest.fixture
def server() -> Iterator[FakeTriton]:
    """A server whose model calls tools and keeps to forms, as ``nupic/smollm2``."""
    with FakeTriton(
        competent_model("smollm2"), models=[text_signature("smollm2.streaming", guided=True)]
    ) as server:
        yield server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run the host's program in this process, and return what it prints."""
    # They are not there where all tests are collected.
    from click.testing import CliRunner  # noqa: PLC0415
    from llm.cli import cli  # noqa: PLC0415

    monkeypatch.setenv("LLM_RAISE_ERRORS", "1")

    def run(*arguments: str, typed: str | None = None, fails: bool = False) -> str:
        done = CliRunner().invoke(cli, [*map(str, arguments)], input=typed, catch_exceptions=fails)
        assert (done.exit_code != 0) == fails, done.output
        return done.output

    return run
