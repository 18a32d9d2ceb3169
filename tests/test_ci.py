"""What CI runs is what the README tells people to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def command(name: str) -> str:
    script = ROOT / ".ci" / "readme_command.py"
    return subprocess.check_output([sys.executable, script, name], text=True).strip()


@pytest.mark.parametrize("name", ["try", "test"])
def test_the_readme_has_the_command_as_one_line(name):
    assert command(name)
    assert "\n" not in command(name)


def test_ci_runs_the_readme_command_for_tests():
    assert "readme_command.py test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_an_unknown_command_is_an_error():
    script = ROOT / ".ci" / "readme_command.py"
    done = subprocess.run([sys.executable, script, "nope"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nope" in done.stderr


def test_the_changelog_has_an_unreleased_part_on_top():
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line[:3] == "## "
    ]
    assert headings[0] == "## [Unreleased]"
