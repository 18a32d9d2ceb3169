"""How many tests of each suite ran: a table in the page of an integration, which the run in CI holds it to.

In the ``conftest.py`` of an integration::

    from integrations.counts import count

    SUITES = {"test_standard.py::TestUnit": "langchain-tests, unit"}  # the beginning of the tests' ids, after the folder

    def pytest_configure(config):
        count(config, "langchain", SUITES, packages=("langchain-tests",), may_skip={"test_serdes"})

Tests of no suite are "our own tests". The page has two lines, ``<!-- counts -->`` and ``<!-- /counts -->``, between which
the table stands. In the session of the integration a run of the whole folder fails if another table is there, and any test
fails that is skipped and not named in ``may_skip``. ``NUPIC_WRITE_COUNTS=1`` writes the table instead::

    NUPIC_WRITE_COUNTS=1 nox -s "integrations(name='langchain')"
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path

import pytest
from pages import ROOT

__all__ = ["Counts", "count"]

OWN = "our own tests"
HEADER = ("suite", "tests", "passed", "skipped", "up to the model")
_PLACE = re.compile(r"(?<=^<!-- counts -->\n).*?(?=^<!-- /counts -->$)", re.MULTILINE | re.DOTALL)


def count(
    config: pytest.Config,
    name: str,
    suites: Mapping[str, str],
    *,
    packages: Sequence[str] = (),
    may_skip: Collection[str] = (),
    kind: str = "integrations",
) -> None:
    """Count the tests of an integration or a recipe in its own session; elsewhere they are skipped, and nothing is done.

    Args:
        config: of the run.
        name: of the integration: of its session, its folder of tests and its page.
        suites: the names of suites, by the beginning of the ids of their tests.
        packages: whose versions the page names.
        may_skip: the names of tests that may be skipped.
        kind: of the folder, in ``tests`` and in ``docs``.
    """
    if os.environ.get("NUPIC_INTEGRATION") == name:
        page = ROOT / "docs" / kind / f"{name.replace('_', '-')}.md"
        counts = Counts(ROOT / "tests" / kind / name, page, suites, packages, may_skip)
        config.pluginmanager.register(counts, f"counts of {name}")


class Counts:
    """The plugin of pytest: it counts, makes failures of skips, and at the end compares or writes the table.

    Args:
        folder: the tests.
        page: where the table stands.
        suites: as for `count`.
        packages: as for `count`.
        may_skip: as for `count`.
    """

    def __init__(
        self,
        folder: Path,
        page: Path,
        suites: Mapping[str, str],
        packages: Sequence[str] = (),
        may_skip: Collection[str] = (),
    ) -> None:
        self._folder = folder
        self._page = page
        self._suites = suites
        self._packages = packages
        self._may_skip = frozenset(may_skip)
        self._outcomes: dict[str, str] = {}
        self._paths: dict[str, Path] = {}
        self._chosen = False
        self._told = ""

    def pytest_deselected(self) -> None:
        """Note that not all tests run."""
        self._chosen = True

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Make a failure of a module that is skipped."""
        report = yield
        if report.skipped and collector.path.is_relative_to(self._folder):
            report.outcome = "failed"
            report.longrepr = f"nothing may be skipped here: {report.longrepr}"
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Make a failure of a test that is skipped and may not be; remember the outcome of the others."""
        report = yield
        if not item.path.is_relative_to(self._folder):
            return report
        up_to_the_model = hasattr(report, "wasxfail")
        if report.skipped and not up_to_the_model:
            name = getattr(item, "originalname", item.name)
            if name not in self._may_skip:
                report.outcome = "failed"
                report.longrepr = f"{name} must not be skipped: {report.longrepr}"
        if report.when == "call" or not report.passed:
            self._paths[item.nodeid] = item.path
            self._outcomes[item.nodeid] = "up to the model" if up_to_the_model else report.outcome
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare the table, or write it."""
        if session.exitstatus != pytest.ExitCode.OK or not self._whole(session.config):
            return
        text = self._page.read_text(encoding="utf-8")
        if not _PLACE.search(text):
            self._fail(session, f"{self._page} has no lines <!-- counts --> and <!-- /counts -->")
            return
        counted = _PLACE.sub(lambda _: f"{self._table()}\n", text)
        if counted == text:
            return
        if os.environ.get("NUPIC_WRITE_COUNTS"):
            self._page.write_text(counted, encoding="utf-8")
            self._told = f"{self._page} has the counts of this run now"
        else:
            wrong = f"{self._page} must have the counts of this run (NUPIC_WRITE_COUNTS=1 writes them):"
            self._fail(session, f"{wrong}\n{self._table()}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was done."""
        if self._told:
            terminalreporter.write_line(self._told)

    def _fail(self, session: pytest.Session, why: str) -> None:
        self._told = why
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _whole(self, config: pytest.Config) -> bool:
        """Return whether all tests of the folder ran, and no others."""
        arguments = [Path(config.invocation_params.dir, argument) for argument in config.args]
        return not self._chosen and [path.resolve() for path in arguments] == [self._folder.resolve()]

    def _table(self) -> str:
        numbers: dict[str, Counter[str]] = {suite: Counter() for suite in (*self._suites.values(), OWN)}
        for nodeid, outcome in self._outcomes.items():
            numbers[self._suite(nodeid)][outcome] += 1
        rows = [
            (suite, *map(str, (sum(found.values()), *(found[column] for column in HEADER[2:]))))
            for suite, found in numbers.items()
            if found
        ]
        lines = [f"| {' | '.join(row)} |" for row in (HEADER, ["---", *["---:"] * (len(HEADER) - 1)], *rows)]
        if self._packages:
            known = [f"{name} {importlib.metadata.version(name)}" for name in self._packages]
            lines += ["", f"With {', '.join(known)}."]
        return "\n".join(lines)

    def _suite(self, nodeid: str) -> str:
        inside = self._paths[nodeid].relative_to(self._folder).as_posix() + nodeid[nodeid.find("::") :]
        fitting = [beginning for beginning in self._suites if inside.startswith(beginning)]
        return self._suites[max(fitting, key=len)] if fitting else OWN
