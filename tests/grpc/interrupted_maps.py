"""A program that runs maps and is interrupted wherever the interpreter may run a signal handler, one place a time.

Run by test_call_queue.py in a process of its own, because it sets the trace function.
"""

from __future__ import annotations

import sys
import threading
import time

from facade import interrupts
from facade.interrupts import PATIENCE, Interrupt
from inference.tensor_server import TensorServer, signature

from nupic_client import InferenceClient
from nupic_client._grpc import housekeeping


def interrupted_at(client: InferenceClient, number: int) -> str:
    """Run a map, interrupted at one place; return the place, or nothing if there are not so many."""
    interrupt = Interrupt(number)
    sys.settrace(interrupt)
    try:
        with client.map([[1], [2], [3]], concurrency=2) as results:
            next(results)
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:  # what Python itself makes of one inside `Thread.start`
        if "release unlocked lock" not in str(error):
            raise
    finally:
        sys.settrace(None)
    return interrupt.place


def settle(server: TensorServer, place: str) -> None:
    """Wait until the server and the housekeeping thread have nothing to do."""
    done = threading.Event()
    housekeeping.submit(done.set)
    end = time.monotonic() + PATIENCE
    while server.running or not done.is_set():
        assert time.monotonic() < end, f"something goes on although its caller was interrupted at {place}"
        time.sleep(0.001)


def main() -> None:
    interrupts.LOCKING = (
        frozenset()
    )  # the locks of gRPC that one of its own channels keeps for ever are no other's
    sys.unraisablehook = lambda _: None  # gRPC's destructor complains of a call that was only half made
    with TensorServer(signature("m", {"x": ("INT32", (-1,))})) as server:
        server.keep_requests = False
        server.held = lambda request: request.raw_input_contents[0][0] != 1
        server.gate.clear()
        working = housekeeping.Registration()
        housekeeping.register(working)
        number, place = 0, "the beginning"
        client = InferenceClient("m", server.url)
        client.infer([1])
        while place:
            number += 1
            place = interrupted_at(client, number)
            settle(server, place)
            assert [result.only.tolist() for result in client.map([[1]] * 3)] == [[1]] * 3, place
        client.close()
        settle(server, "the end")
        print(number, "places")


if __name__ == "__main__":
    main()
