"""What a destructor does: next to nothing, because the garbage collector runs anywhere, also where locks are held."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nupic_client._grpc import reaper
from nupic_client.testing import FakeTriton, silence

PROGRAM = Path(__file__).with_name("collector.py")


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


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_thread_goes_after_the_last_lease_and_comes_again():
    mine = reaper._Reaper(linger=0.02)
    for _ in range(2):
        leases, done = [reaper.Lease(), reaper.Lease()], threading.Event()
        for lease in leases:
            mine.hold(lease)
        mine.release(leases[0])
        wait_until(lambda: mine._running)
        time.sleep(0.1)
        assert mine._running
        mine.submit(lambda: 1 / 0)
        mine.submit(done.set)
        assert done.wait(20)
        mine.release(leases[1])
        wait_until(lambda: not mine._running)


def test_of_two_threads_that_are_started_at_once_one_goes():
    mine, before = reaper._Reaper(linger=0.02), set(threading.enumerate())
    leases = [reaper.Lease(), reaper.Lease()]
    with mine._lock:  # neither can say that it runs before the other is started
        for lease in leases:
            mine.hold(lease)
        assert len(set(threading.enumerate()) - before) == 2
    wait_until(lambda: len(set(threading.enumerate()) - before) == 1)
    for lease in leases:
        mine.release(lease)
    wait_until(lambda: not set(threading.enumerate()) - before)
