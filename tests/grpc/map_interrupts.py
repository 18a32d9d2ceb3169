"""What the programs share that interrupt a map at one place a time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from facade import interrupts
from facade.interrupts import PATIENCE, interrupted_at

from nupic_client._grpc import housekeeping


def interrupt_everywhere(
    leave_a_map: Callable[[], object], check: Callable[[str], object], running: Callable[[], object]
) -> int:
    """Run a map until there is no further place to interrupt it at; return the number of places.

    Args:
        leave_a_map: runs it.
        check: checks behind each interrupt that maps still work; gets the place.
        running: returns whether the server has something to do.
    """
    # The locks of gRPC that one of its own channels keeps for ever are no other's.
    interrupts.LOCKING = frozenset()
    sys.unraisablehook = lambda _: None  # gRPC's destructor complains of a call that was only half made
    working = housekeeping.Registration()
    housekeeping.register(working)
    number, place = 0, "the beginning"
    while place:
        number += 1
        place = interrupted_at(number, leave_a_map)
        settle(running, place)
        check(place)
    return number


def settle(running: Callable[[], object], place: str) -> None:
    """Wait until the server and the housekeeping thread have nothing to do."""
    done = threading.Event()
    housekeeping.submit(done.set)
    end = time.monotonic() + PATIENCE
    while running() or not done.is_set():
        assert time.monotonic() < end, f"something goes on although its caller was interrupted at {place}"
        time.sleep(0.001)
