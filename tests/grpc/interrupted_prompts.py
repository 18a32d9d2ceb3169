"""As interrupted_maps.py, with a map of prompts: it is interrupted at one place a time.

Run by test_call_queue.py in a process of its own, because it sets the trace function.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from facade import interrupts
from facade.interrupts import PATIENCE, Interrupt

from nupic_client import StreamingClient
from nupic_client._grpc import housekeeping
from nupic_client.testing import FakeTriton, silence


class Model:
    """Answers with the prompt, or begins to and falls silent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = 0

    def __call__(self, request: Any) -> Iterator[Any]:
        with self.lock:
            self.running += 1
        try:
            yield request.prompt
            if request.prompt == "silent":
                yield silence()
        finally:
            with self.lock:
                self.running -= 1


def interrupted_at(client: StreamingClient, number: int) -> str:
    """Run a map, interrupted at one place; return the place, or nothing if there are not so many."""
    interrupt = Interrupt(number)
    sys.settrace(interrupt)
    try:
        with client.map(["a", "silent", "silent"], concurrency=2) as results:
            next(results)
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:  # what Python itself makes of one inside `Thread.start`
        if "release unlocked lock" not in str(error):
            raise
    finally:
        sys.settrace(None)
    return interrupt.place


def settle(model: Model, place: str) -> None:
    """Wait until the server and the housekeeping thread have nothing to do."""
    done = threading.Event()
    housekeeping.submit(done.set)
    end = time.monotonic() + PATIENCE
    while model.running or not done.is_set():
        assert time.monotonic() < end, f"something goes on although its caller was interrupted at {place}"
        time.sleep(0.001)


def main() -> None:
    interrupts.LOCKING = (
        frozenset()
    )  # the locks of gRPC that one of its own channels keeps for ever are no other's
    sys.unraisablehook = lambda _: None  # gRPC's destructor complains of a call that was only half made
    model = Model()
    with FakeTriton(model) as server:
        working = housekeeping.Registration()
        housekeeping.register(working)
        number, place = 0, "the beginning"
        client = StreamingClient("gpt.streaming", server.url)
        client.generate("a")
        while place:
            number += 1
            place = interrupted_at(client, number)
            settle(model, place)
            assert [result.text for result in client.map(["a"] * 3)] == ["a"] * 3, place
        client.close()
        settle(model, "the end")
        print(number, "places")


if __name__ == "__main__":
    main()
