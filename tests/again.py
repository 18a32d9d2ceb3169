"""Run a test again: one whose real Triton died of itself, and in CI a few of those that failed.

Triton 2.51 dies of itself now and then: a SIGSEGV in ``ModelStreamInferHandler::Process`` or a corrupt heap, after which its
own handler of signals may hang for ever in an attempt to print the stack. Seen once in five runs of all tests on a loaded
machine. The test is run again on a new server.

Of twenty thousand tests on a shared machine one may fail by chance. ``NUPIC_RUN_AGAIN=3`` gives three of them a second
try, of which each of three workers of pytest-xdist has one; when more fail, it is no chance. Each one is named at the end
with its first failure, because it is a defect all the same: of the test, or of the package.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

from nupic_client.local.triton import process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client.local.triton.process import TritonProcess

__all__ = ["has_died", "note", "note_death", "run_again", "tell"]

# What a test does to it, SIGTERM and SIGKILL, does not look like this.
_DEATH = re.compile(r"^Signal \((?:6|11)\) received", re.MULTILINE)
_noted = pytest.StashKey[bool]()
_AGAIN = "run again"
_told: list[str] = []
_left = [
    int(os.environ.get("NUPIC_RUN_AGAIN", "0")) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
]


def has_died(server: TritonProcess) -> bool:
    """Tell whether a server has died of itself, although its process may still hang about."""
    try:
        return _DEATH.search(server.log) is not None
    except FileNotFoundError:  # it was stopped
        return False


def note_death(item: pytest.Item) -> None:
    """Note that a test failed, if that was when a server died."""
    if any(has_died(server) for server in tuple(process._running)):
        item.stash[_noted] = True


def run_again(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Do what pytest does to run a test, and once more where there is a reason to."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    reason = _reason(item, reports)
    if reason:
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        reports[0].user_properties.append((_AGAIN, reason))  # it goes from a worker to the process that tells
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reason(item: pytest.Item, reports: Sequence[pytest.TestReport]) -> str:
    failed = next((report for report in reports if report.failed), None)
    if failed is None:
        return ""
    if item.stash.get(_noted, False):
        return "the real Triton died of itself"
    if not _left[0]:
        return ""
    _left[0] -= 1
    return f"it failed at {failed.when}:\n{failed.longreprtext}"


def note(report: pytest.TestReport) -> None:
    """Note that a test was run again, if it was."""
    _told.extend(
        f"{report.nodeid} was run again: {reason}"
        for name, reason in report.user_properties
        if name == _AGAIN
    )


def tell(reporter: pytest.TerminalReporter) -> None:
    """Name the tests that were run again."""
    for line in _told:
        reporter.write_line(line)
