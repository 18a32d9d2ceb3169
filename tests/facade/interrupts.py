"""A program that opens streams and is interrupted wherever the interpreter may run a signal handler, one place a time.

Run by test_interrupts.py in a process of its own, because it sets the trace function.
"""

from __future__ import annotations

import dis
import functools
import sys
import time
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType
from typing import Any

import pytest

from nupic_client import DeadlineExceededError, StreamingClient, Timeouts
from nupic_client.testing import FakeTriton, silence

PATIENCE = 20.0


@functools.cache
def places(code: CodeType) -> frozenset[int]:
    """Return the offsets at which the interpreter looks for signals: after calls and where functions begin."""
    found, before = set(), ""
    for instruction in dis.get_instructions(code):
        if before.startswith("CALL") or before == "RESUME":
            found.add(instruction.offset)
        before = instruction.opname
    return frozenset(found)


def is_ours(code: CodeType) -> bool:
    name = code.co_filename.replace("\\", "/")
    if "/nupic_client/" in name:
        return not any(part in name for part in ("/testing/", "/local/"))
    if name.endswith("/threading.py"):
        return code.co_name not in LOCKING
    return name.endswith("grpc/_channel.py")


# A `Condition` that is interrupted while it takes or gives back its lock keeps it for ever. gRPC has them everywhere; we
# have none in the way of a stream.
LOCKING = frozenset({"__enter__", "__exit__", "_release_save", "_acquire_restore", "_is_owned"})


class Interrupt:
    """A trace function that raises KeyboardInterrupt at one place, counted from the beginning."""

    def __init__(self, countdown: int) -> None:
        self.countdown = countdown
        self.place = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not is_ours(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in places(frame.f_code):
            self.countdown -= 1
            if not self.countdown:
                sys.settrace(None)
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
                raise KeyboardInterrupt
        return self


def interrupted_at(number: int, run: Callable[[], object]) -> str:
    """Run something, interrupted at one place; return the place, or nothing if there are not so many."""
    interrupt = Interrupt(number)
    sys.settrace(interrupt)
    try:
        run()
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:  # what Python itself makes of one inside `Thread.start`
        if "release unlocked lock" not in str(error):
            raise
    finally:
        sys.settrace(None)
    return interrupt.place


def open_stream(client: StreamingClient) -> None:
    client.stream("hi", timeout=Timeouts(total=600, between_tokens=300)).close()


def settle(server: FakeTriton, place: str) -> None:
    """Wait until every request that the server had is cancelled there."""
    end = time.monotonic() + PATIENCE
    while len(server.cancellations) < len(server.requests):
        assert time.monotonic() < end, f"a generation goes on although its caller was interrupted at {place}"
        time.sleep(0.001)


def main(*, fresh: bool) -> None:
    sys.unraisablehook = lambda _: None  # gRPC's destructor complains of a call that was only half made
    with FakeTriton(["one", silence()]) as server:
        url, number, place = server.url, 0, "the beginning"
        client = StreamingClient("gpt.streaming", url=url)
        assert next(client.stream("hi")) == "one"
        while place:
            number += 3 if fresh else 1  # opening a connection has many places, and takes long
            with StreamingClient("gpt.streaming", url=url) as other:
                place = interrupted_at(number, partial(open_stream, other if fresh else client))
                settle(server, place)
                if fresh and place:  # an interrupt must not leave half a connection behind
                    assert next(other.stream("hi")) == "one", place
        time.sleep(0.2)  # for what may still be on its way to the server
        settle(server, "one of the last places")
        # Nothing is locked for ever, and somebody still looks after the deadlines.
        with pytest.raises(DeadlineExceededError, match="between_tokens"):
            client.generate("hi", timeout=Timeouts(total=60, between_tokens=0.05))
        client.close()
        print(number, "places")


if __name__ == "__main__":
    main(fresh="fresh" in sys.argv)
