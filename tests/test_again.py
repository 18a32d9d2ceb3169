"""A test that fails once is run again in CI, is named at the end, and fails if it fails again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
HOOKS = """
from again import note, run_again, tell

def pytest_runtest_protocol(item, nextitem):
    return run_again(item, nextitem)

def pytest_runtest_logreport(report):
    note(report)

def pytest_terminal_summary(terminalreporter):
    tell(terminalreporter)
"""
ONCE = """
import pytest
runs = []

@pytest.fixture
def fresh():
    yield len(runs)
    assert len(runs) > 1, "at its end"

def test_once():
    runs.append(1)
    assert len(runs) > 1, "the first time"

def test_always():
    assert 0, "always"

def test_ending(fresh):
    runs.append(1)
"""


def run(folder: Path, *tests: str, again: str, options: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(HOOKS, "utf-8")
    (folder / "test_some.py").write_text(ONCE, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(
        [*command, "--rootdir", str(folder), "-c", os.devnull, *(f"test_some.py::{name}" for name in tests)],
        cwd=folder,
        env={**mine, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "NUPIC_RUN_AGAIN": again}
        | {"PYTEST_ADDOPTS": options},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_fails_once_passes_and_is_named(tmp_path):
    done = run(tmp_path, "test_once", again="1")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert "test_some.py::test_once was run again: it failed at call:" in done.stdout
    assert "the first time" in done.stdout


def test_what_fails_at_its_end_is_run_again_too(tmp_path):
    done = run(tmp_path, "test_ending", again="1")
    assert done.returncode == 0, done.stdout
    assert "it failed at teardown:" in done.stdout


def test_what_fails_again_fails(tmp_path):
    done = run(tmp_path, "test_always", again="3")
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_more_than_a_few_failures_are_no_chance(tmp_path):
    done = run(tmp_path, "test_always", "test_once", again="1")
    assert done.returncode == 1
    assert "2 failed" in done.stdout


def test_without_being_asked_nothing_is_run_again(tmp_path):
    done = run(tmp_path, "test_once", again="0")
    assert done.returncode == 1
    assert "run again" not in done.stdout


def test_workers_share_the_tries_and_tell_what_was_run_again(tmp_path):
    done = run(tmp_path, "test_once", "test_ending", again="2", options="-n 2 --dist load")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("was run again:") == 2
    assert run(tmp_path, "test_once", again="1", options="-n 2").returncode == 1
