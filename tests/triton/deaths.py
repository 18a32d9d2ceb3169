"""Run a test again whose real Triton died of itself.

Triton 2.51 does so now and then: a SIGSEGV in ``ModelStreamInferHandler::Process`` or a corrupt heap, after which its own
handler of signals may hang for ever in an attempt to print the stack. Seen once in five runs of all tests on a loaded
machine. The test is run again on a new server, once, and the summary names it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

from nupic_client.local.triton import process

if TYPE_CHECKING:
    from nupic_client.local.triton.process import TritonProcess

__all__ = ["has_died", "note_death", "run_again_if_it_died", "tell_deaths"]

# What a test does to it, SIGTERM and SIGKILL, does not look like this.
_DEATH = re.compile(r"^Signal \((?:6|11)\) received", re.MULTILINE)
_noted = pytest.StashKey[bool]()
_deaths: list[str] = []


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


def run_again_if_it_died(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Do what pytest does to run a test, and once more if the server died; leave tests without one to pytest."""
    timeout = item.get_closest_marker("timeout")
    if timeout is None or not timeout.kwargs.get(
        "func_only"
    ):  # which all tests have that use the real server
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    optional_outputs = runtestprotocol(item, log=False, nextitem=nextitem)
    if item.stash.get(_noted, False):
        _deaths.append(item.nodeid)
        optional_outputs = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in optional_outputs:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def tell_deaths(reporter: pytest.TerminalReporter) -> None:
    """Name the tests that were run again."""
    for test in _deaths:
        reporter.write_line(f"the real Triton died of itself in {test}, which was run again")
