"""What a destructor does: next to nothing, because the garbage collector runs anywhere, also where locks are held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nupic_client.testing import FakeTriton, silence

PROGRAM = Path(__file__).with_name("collector.py")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["stream", "iterator", "block", "results", "async"])
def test_garbage_that_is_collected_while_locks_are_held(what):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), what], capture_output=True, text=True, timeout=110, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "cancelled\n", "")


LEFT = """
import sys
from nupic_client import StreamingClient

client = StreamingClient("gpt.streaming", url=sys.argv[1])
for _ in client.stream("endless"):
    break
"""


def test_the_outcome_of_what_is_left_last_is_logged():
    with FakeTriton(["one", silence()]) as server:
        done = subprocess.run(
            [sys.executable, "-c", LEFT, server.url],
            capture_output=True,
            text=True,
            timeout=110,
            check=True,
            env={**os.environ, "NUPIC_LOG": "info"},
        )
    assert done.stderr.count("cancelled") == 1
