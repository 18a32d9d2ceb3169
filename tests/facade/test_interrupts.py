"""Ctrl-C at any place of our code and of gRPC's: nothing goes on on the server, nothing is locked or half open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
