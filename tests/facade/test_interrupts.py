"""Ctrl-C at any place of our code and of gRPC's: nothing goes on on the server, nothing is locked or half open."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nupic_client._sync.watchdog import Watchdog

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fake_only("where an interrupt hits does not depend on the server"),
]

PROGRAM = Path(__file__).with_name("interrupts.py")


@pytest.mark.parametrize("connection", ["kept", "fresh"])
def test_an_interrupt_at_any_place_of_opening_a_stream(connection):
    # Coverage would want the trace function for itself.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), connection],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    count, word = done.stdout.split()
    assert word == "places"
    assert int(count) > 200, "the places to interrupt were not found"


def test_of_two_watchdogs_that_are_started_at_once_one_goes():
    class Patient:
        def check_deadline(self, now):
            return now + 60

    def started() -> int:
        return len(set(threading.enumerate()) - before)

    def wait_for(count: int) -> None:
        end = time.monotonic() + 10
        while started() != count:
            assert time.monotonic() < end
            time.sleep(0.01)

    before = set(threading.enumerate())
    watchdog, things = Watchdog(), [Patient(), Patient()]
    with watchdog._lock:  # neither thread can say that it runs before the other is started
        for thing in things:
            watchdog.watch(thing, time.monotonic() + 60)
        assert started() == 2
    wait_for(1)
    watchdog.stop()
    wait_for(0)
