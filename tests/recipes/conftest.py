"""In the session of a recipe a test that is skipped would look green: it is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def _of_this_session(node: pytest.Item | pytest.Collector) -> bool:
    return os.environ.get("NUPIC_INTEGRATION") in node.path.parts


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and _of_this_session(item):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.outcome == "skipped" and _of_this_session(collector):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"
    return report
