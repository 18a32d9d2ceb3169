"""Memory over many short generations or requests in one process: ``python -m benchmarks.measure_leak '{"way": …}'``."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any

from benchmarks.blast_server import EMBEDDING
from benchmarks.process import os_threads, resident

AT_ONCE = 8
"""Tasks that generate at the same time, in the async way."""


def sample(done: int, began: float) -> dict[str, Any]:
    gc.collect()
    return {
        "done": done,
        "resident": resident(),
        "objects": len(gc.get_objects()),
        "threads": os_threads(),
        "seconds": time.perf_counter() - began,
    }


def generate_all(client: Any, marks: list[int]) -> list[dict[str, Any]]:
    began = time.perf_counter()
    found = []
    done = 0
    for mark in marks:
        for _ in range(mark - done):
            check(client.generate("Hello"))
        done = mark
        found.append(sample(done, began))
    return found


async def agenerate_all(client: Any, marks: list[int]) -> list[dict[str, Any]]:
    began = time.perf_counter()
    found = []
    done = 0

    async def some(number: int) -> None:
        for _ in range(number):
            check(await client.agenerate("Hello"))

    for mark in marks:
        share, more = divmod(mark - done, AT_ONCE)
        await asyncio.gather(*(some(share + (index < more)) for index in range(AT_ONCE)))
        done = mark
        found.append(sample(done, began))
    return found


def infer_all(client: Any, marks: list[int]) -> list[dict[str, Any]]:
    """Send requests, half of them by ``infer`` and half by ``map``."""
    began = time.perf_counter()
    found = []
    done = 0
    for mark in marks:
        for number in range((mark - done) // 2):
            client.infer([f"text {number}"])
        for _ in client.map([f"text {number}"] for number in range((mark - done + 1) // 2)):
            pass
        done = mark
        found.append(sample(done, began))
    return found


async def ainfer_all(client: Any, marks: list[int]) -> list[dict[str, Any]]:
    began = time.perf_counter()
    found = []
    done = 0
    async with client:
        for mark in marks:
            for number in range((mark - done) // 2):
                await client.ainfer([f"text {number}"])
            async for _ in client.amap([f"text {number}"] for number in range((mark - done + 1) // 2)):
                pass
            done = mark
            found.append(sample(done, began))
    return found


def requests(order: dict[str, Any]) -> list[dict[str, Any]]:
    from nupic_client import InferenceClient

    client = InferenceClient(EMBEDDING, order["url"])
    if order["way"] == "async requests":
        return asyncio.run(ainfer_all(client, order["marks"]))
    with client:
        return infer_all(client, order["marks"])


def check(generation: Any) -> None:
    if not generation.text:
        raise SystemExit("a generation without text")


async def in_loop(client: Any, marks: list[int]) -> list[dict[str, Any]]:
    async with client:
        return await agenerate_all(client, marks)


def main() -> None:
    order = json.loads(sys.argv[1])

    if order["way"].endswith("requests"):
        print(json.dumps({"samples": requests(order)}))
        return

    from nupic_client import StreamingClient

    client = StreamingClient(order["model"], order["url"], max_tokens=order["tokens"])
    if order["way"] == "async":
        samples = asyncio.run(in_loop(client, order["marks"]))
    else:
        with client:
            samples = generate_all(client, order["marks"])
    print(json.dumps({"samples": samples}))


if __name__ == "__main__":
    main()
