"""As interrupted_maps.py, with a map of prompts: it is interrupted at one place a time.

Run by test_call_queue.py in a process of its own, because it sets the trace function.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from map_interrupts import interrupt_everywhere, settle

from nupic_client import StreamingClient
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


def main() -> None:
    model = Model()
    with FakeTriton(model) as server:
        client = StreamingClient("gpt.streaming", server.url)
        client.generate("a")

        def leave_a_map() -> None:
            with client.map(["a", "silent", "silent"], concurrency=2) as results:
                next(results)

        def check(place: str) -> None:
            assert [result.text for result in client.map(["a"] * 3)] == ["a"] * 3, place

        def running() -> object:
            return model.running

        number = interrupt_everywhere(leave_a_map, check, running)
        client.close()
        settle(running, "the end")
        print(number, "places")


if __name__ == "__main__":
    main()
