"""What other libraries are needed for: it names its session, and is not skipped there without a word."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from needed import need
from pages import ROOT

CONFTEST = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from needed import NoSkips

def pytest_configure(config):
    config.pluginmanager.register(NoSkips([Path(__file__).parent / "strict"], unless="counts"))
"""
TESTS = """
import pytest

def test_passes(): pass
def test_skips(): pytest.skip("not here")
@pytest.mark.xfail(reason="some time")
def test_fails(): assert False
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST.format(tests=str(Path(__file__).parent)))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]"
    )  # else it takes that of the repository, if it is inside of it
    for name in ("strict", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"test_{name}.py").write_text(TESTS)
        (tmp_path / name / f"test_{name}_module.py").write_text(
            "import pytest; pytest.importorskip('nothing')"
        )
    return tmp_path


def output(folder, *arguments):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # one may warn, and warnings are counted
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environ,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


def rows(table):
    """Return the keys of a table in noxfile.py, which cannot be imported without nox."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    (found,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table
    )
    assert isinstance(found, ast.Dict)
    return {ast.literal_eval(key) for key in found.keys if key is not None}


@pytest.mark.parametrize("kind", ["integrations", "recipes"])
def test_each_folder_has_its_session_which_the_contributors_are_told_of(kind):
    folders = {path.parent.name for path in (ROOT / "tests" / kind).glob("*/test_*.py")}
    assert rows(kind.upper()) == folders
    (line,) = re.findall(
        rf"^\| `{kind}` \| .*$", (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {*re.findall(r"`(\w+)`", line)} == {kind, *folders}


@pytest.mark.parametrize(("name", "kind"), [("langchain", "integrations"), ("web", "recipes")])
def test_a_skip_says_how_the_module_is_run(monkeypatch, name, kind):
    monkeypatch.delenv("NUPIC_INTEGRATION", raising=False)
    with pytest.raises(pytest.skip.Exception, match=rf"run it with nox -s \"{kind}\(name='{name}'\)\""):
        need(name)
    monkeypatch.setenv("NUPIC_INTEGRATION", name)
    need(name)


def test_a_session_that_does_not_exist_is_no_reason_to_skip():
    with pytest.raises(ValueError, match="not enough values"):
        need("lang-chain")


def test_what_is_skipped_in_its_session_fails(folder):
    told = output(folder, "--continue-on-collection-errors")
    assert "1 failed, 2 passed, 2 skipped, 2 xfailed, 1 error" in told
    assert "nothing may be skipped here" in told


def test_another_plugin_may_decide(folder):
    (folder / "counts.py").touch()
    told = output(folder, "-p", "counts")
    assert "2 passed, 4 skipped, 2 xfailed" in told
