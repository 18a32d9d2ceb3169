"""Tensors as bytes and in shared memory: ``python -m benchmarks.measure_shm '{"way": …}'`` prints its figures as JSON.

Each way has the numbers as an array of its own before a request, and the answer as an array after it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

MODEL = "identity"
clock = time.perf_counter
Run = Callable[[], Any]


@contextmanager
def ours_bytes(url: str, data: Any) -> Iterator[Run]:
    from nupic_client import InferenceClient

    with InferenceClient(MODEL, url) as client:
        yield lambda: client.infer({"x": data})["y"]


@contextmanager
def ours_shared(url: str, data: Any) -> Iterator[Run]:
    from nupic_client import InferenceClient, ServerClient

    size = 2 * data.nbytes + 64
    with (
        InferenceClient(MODEL, url) as client,
        ServerClient(url) as server,
        server.shared_memory(size) as region,
    ):
        tensor, place = region.put(data), region.output(data.nbytes)

        def run() -> Any:
            region.put(data, tensor.offset)
            return client.infer({"x": tensor}, outputs={"y": place})["y"]

        yield run


@contextmanager
def ours_in_place(url: str, data: Any) -> Iterator[Run]:
    from nupic_client import InferenceClient, ServerClient

    size = 2 * data.nbytes + 64
    with (
        InferenceClient(MODEL, url) as client,
        ServerClient(url) as server,
        server.shared_memory(size) as region,
    ):
        tensor, place = region.put(data), region.output(data.nbytes)
        yield lambda: client.infer({"x": tensor}, outputs={"y": place})["y"]


@contextmanager
def tritonclient_bytes(url: str, data: Any) -> Iterator[Run]:
    import tritonclient.grpc as module

    with module.InferenceServerClient(url) as client:

        def run() -> Any:
            tensor = module.InferInput("x", list(data.shape), "FP32")
            tensor.set_data_from_numpy(data)
            return client.infer(MODEL, [tensor]).as_numpy("y")

        yield run


@contextmanager
def tritonclient_shared(url: str, data: Any) -> Iterator[Run]:
    import tritonclient.grpc as module
    from tritonclient.utils import shared_memory

    size = data.nbytes
    handle = shared_memory.create_shared_memory_region("bench", "/nupic-bench", 2 * size)
    with module.InferenceServerClient(url) as client:
        client.register_system_shared_memory("bench", "/nupic-bench", 2 * size)
        try:

            def run() -> Any:
                shared_memory.set_shared_memory_region(handle, [data])
                tensor = module.InferInput("x", list(data.shape), "FP32")
                tensor.set_shared_memory("bench", size)
                wanted = module.InferRequestedOutput("y")
                wanted.set_shared_memory("bench", size, size)
                output = client.infer(MODEL, [tensor], outputs=[wanted]).get_output("y")
                return shared_memory.get_contents_as_numpy(handle, np.float32, output.shape, size)

            yield run
        finally:
            time.sleep(0.5)  # the server lets go of it a moment after the last answer
            client.unregister_system_shared_memory("bench")
            shared_memory.destroy_shared_memory_region(handle)


WAYS = {
    "nupic_client, bytes": ours_bytes,
    "nupic_client, shared memory": ours_shared,
    "nupic_client, already there": ours_in_place,
    "tritonclient, bytes": tritonclient_bytes,
    "tritonclient, shared memory": tritonclient_shared,
}


def measure(way: str, url: str, size: int, number: int) -> dict[str, Any]:
    data = np.arange(size // 4, dtype=np.float32)
    with WAYS[way](url, data) as run:
        for _ in range(2):  # connections, and the server's own memory
            if not np.array_equal(run(), data):
                raise SystemExit(f"{way}: the answer is not what was sent")
        wall, cpu = clock(), time.process_time()
        for _ in range(number):
            run()
        return {"wall": (clock() - wall) / number, "cpu": (time.process_time() - cpu) / number}


def main() -> None:
    print(json.dumps(measure(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
