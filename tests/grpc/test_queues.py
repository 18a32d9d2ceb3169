"""A time at a queue ends, whatever it is."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time

import pytest

from nupic_client._grpc.queues import get_within

MANY = """
import queue
from nupic_client._grpc.queues import get_within

source = queue.SimpleQueue()
for number in range(3_000):
    source.put(number)
    assert get_within(source, None) == number  # from now on nobody has waited
    for timeout in (0, 0.0, 1e-9, 1e-7, 1e-6, 2e-6):
        try:
            get_within(source, timeout)
        except queue.Empty:
            pass
print("end")
"""


def test_no_time_is_too_short():
    """In a process of its own: a wait that never ends cannot be interrupted."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("end\n", "")


def test_what_comes_in_time_is_returned():
    source = queue.SimpleQueue()
    threading.Timer(0.05, source.put, ["a"]).start()
    assert get_within(source, 60.0) == "a"
    source.put("b")
    assert get_within(source, 0.0) == "b"


def test_nothing_in_time_is_an_error():
    start = time.monotonic()
    with pytest.raises(queue.Empty):
        get_within(queue.SimpleQueue(), 0.05)
    assert time.monotonic() - start >= 0.04
