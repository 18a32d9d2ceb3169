"""The table of counts: it is what ran, a page with another one fails the run, and a skip fails its test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONFTEST = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from integrations.counts import Counts

def pytest_configure(config):
    here = Path(__file__).parent
    suites = {{"test_all.py::TestSuite": "the suite", "test_all.py::TestModel": "with a model"}}
    config.pluginmanager.register(Counts(here, here.parent / "page.md", suites, ["pytest"], {{"test_may"}}))
"""
TESTS = """
import pytest

class TestSuite:
    def test_first(self): pass
    def test_may(self): pytest.skip("not here")

class TestModel:
    @pytest.mark.xfail(reason="the model")
    def test_fails(self): assert False
    @pytest.mark.xfail(reason="the model")
    def test_passes(self): pass

@pytest.mark.parametrize("number", [1, 2, 3])
def test_own(number): pass
"""
TABLE = f"""| suite | tests | passed | skipped | up to the model |
| --- | ---: | ---: | ---: | ---: |
| the suite | 2 | 1 | 1 | 0 |
| with a model | 2 | 0 | 0 | 2 |
| our own tests | 3 | 3 | 0 | 0 |

With pytest {pytest.__version__}.
"""
PAGE = "# Page\n\n<!-- counts -->\n{}<!-- /counts -->\n\nThe end.\n"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(CONFTEST.format(tests=str(Path(__file__).parents[1])))
    (folder / "test_all.py").write_text(TESTS)
    (tmp_path / "page.md").write_text(PAGE.format(TABLE))
    return folder


def run(folder, *arguments, **environment):
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("NUPIC_", "PYTEST_", "COV"))
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command,
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
        env={**clean, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
    )
    return done.returncode, done.stdout


def test_a_page_with_the_right_counts_passes(folder):
    code, output = run(folder, "tests")
    assert code == 0, output
    assert "5 passed" not in output  # the one of the model that passes is counted by pytest as xpassed
    assert "4 passed, 1 skipped, 1 xfailed, 1 xpassed" in output


def test_another_table_fails_the_run(folder):
    page = folder.parent / "page.md"
    page.write_text(PAGE.format(TABLE.replace("| 3 | 3 |", "| 2 | 2 |")))
    code, output = run(folder, "tests")
    assert code == 1
    assert "must have the counts of this run" in output
    assert TABLE in output
    assert run(folder, "tests", NUPIC_WRITE_COUNTS="1")[0] == 0
    assert page.read_text() == PAGE.format(TABLE)


def test_a_page_without_a_place_for_the_table_fails_the_run(folder):
    (folder.parent / "page.md").write_text("# Page\n")
    code, output = run(folder, "tests")
    assert code == 1
    assert "has no lines <!-- counts -->" in output


@pytest.mark.parametrize("chosen", [("-k", "own", "tests"), ("tests/test_all.py",)])
def test_a_part_of_the_tests_is_not_compared(folder, chosen):
    (folder.parent / "page.md").write_text(PAGE.format(""))
    code, output = run(folder, *chosen)
    assert code == 0, output


def test_a_skip_is_a_failure_and_no_counts_are_told(folder):
    (folder / "test_all.py").write_text(TESTS.replace("test_may", "test_must"))
    code, output = run(folder, "tests")
    assert code == 1
    assert "test_must must not be skipped" in output
    assert "counts of this run" not in output


def test_a_module_that_is_skipped_is_a_failure(folder):
    (folder / "test_more.py").write_text("import pytest\npytest.skip('no', allow_module_level=True)\n")
    code, output = run(folder, "tests")
    assert code == 2
    assert "nothing may be skipped here" in output
