"""The page about tests of an application: pytest runs its files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from needed import need
from pages import write_files
from recipes.servers import RECIPES

need("web")


PAGE = RECIPES / "testing.md"


def run(folder: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--rootdir=.",
        "--import-mode=prepend",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_its_tests_pass(tmp_path: Path) -> None:
    folder = write_files(PAGE, tmp_path, "localhost:8001", timeout="timeout=10 -> timeout=1")
    said = run(folder)
    assert re.search(r"^4 passed", said, re.MULTILINE), said


def test_they_can_fail(tmp_path: Path) -> None:
    change = "generation.text.strip() -> generation.text"
    folder = write_files(PAGE, tmp_path, "localhost:8001", timeout="timeout=10 -> timeout=1", change=change)
    assert "1 failed, 3 passed" in run(folder)
