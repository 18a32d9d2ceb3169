"""A program that runs maps and is interrupted wherever the interpreter may run a signal handler, one place a time.

Run by test_call_queue.py in a process of its own, because it sets the trace function.
"""

from __future__ import annotations

from inference.tensor_server import TensorServer, signature
from map_interrupts import interrupt_everywhere, settle

from nupic_client import InferenceClient


def main() -> None:
    with TensorServer(signature("m", {"x": ("INT32", (-1,))})) as server:
        server.keep_requests = False
        server.held = lambda request: request.raw_input_contents[0][0] != 1
        server.gate.clear()
        client = InferenceClient("m", server.url)
        client.infer([1])

        def leave_a_map() -> None:
            with client.map([[1], [2], [3]], concurrency=2) as results:
                next(results)

        def check(place: str) -> None:
            assert [result.only.tolist() for result in client.map([[1]] * 3)] == [[1]] * 3, place

        def running() -> object:
            return server.running

        number = interrupt_everywhere(leave_a_map, check, running)
        client.close()
        settle(running, "the end")
        print(number, "places")


if __name__ == "__main__":
    main()
