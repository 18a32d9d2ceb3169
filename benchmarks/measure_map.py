"""One measurement of many prompts: ``python -m benchmarks.measure_map '{"way": …}'`` prints its figures as JSON.

Every way keeps a number of generations running, and has the whole text of each in the end. The bare way is the shortest
correct pool on grpc.aio: as many tasks as generations at a time, which share one iterator over the prompts.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.process import peak
from benchmarks.ways import STREAM, bare_request, run_loop
from benchmarks.ways import Job as StreamJob


@dataclass(frozen=True)
class Job:
    """What one measurement does.

    Args:
        url: ``host:port`` of the server.
        model: its name on the server.
        concurrency: generations at the same time.
        count: how many generations.
        tokens: of each.
    """

    url: str
    model: str
    concurrency: int
    count: int
    tokens: int


class Watch:
    """Wall and CPU time from its making on."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def figures(self, texts: list[str]) -> dict[str, Any]:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return {"wall": wall, "cpu": cpu, "texts": texts}


def bare_pool(job: Job) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    streams = StreamJob(job.url, job.model, 1, job.tokens)

    async def main() -> None:
        import grpc.aio
        from tritonclient.grpc import service_pb2 as pb

        async with grpc.aio.insecure_channel(job.url) as channel:
            start = channel.unary_stream(
                STREAM, pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
            )

            async def generate() -> str:
                texts = []
                async for response in start(bare_request(streams)):
                    for content in response.infer_response.raw_output_contents:
                        texts.append(content[4:].decode())
                return "".join(texts)

            async def work() -> None:
                for _ in prompts:
                    found.append(await generate())

            await generate()
            prompts, found = iter(range(job.count)), []
            watch = Watch()
            await asyncio.gather(*(work() for _ in range(job.concurrency)))
            figures.update(watch.figures(found))

    run_loop(main)
    return figures


def ours(job: Job) -> dict[str, Any]:
    from nupic_client import StreamingClient

    with StreamingClient(job.model, job.url, max_tokens=job.tokens) as client:
        client.generate("Hello")
        watch = Watch()
        found = [made.text for made in client.map(["Hello"] * job.count, concurrency=job.concurrency)]
        return watch.figures(found)


def ours_async(job: Job) -> dict[str, Any]:
    figures: dict[str, Any] = {}

    async def main() -> None:
        from nupic_client import StreamingClient

        async with StreamingClient(job.model, job.url, max_tokens=job.tokens) as client:
            await client.agenerate("Hello")
            watch = Watch()
            results = client.amap(["Hello"] * job.count, concurrency=job.concurrency)
            figures.update(watch.figures([made.text async for made in results]))

    run_loop(main)
    return figures


WAYS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "bare grpc.aio, pool": bare_pool,
    "nupic_client map": ours,
    "nupic_client amap": ours_async,
}
"""Every way by the name the tables use."""


def measure_map(way: str, job: Job) -> dict[str, Any]:
    """Generate and return the figures: seconds of wall clock and of CPU, and the largest resident memory in MiB."""
    figures = WAYS[way](job)
    texts = figures.pop("texts")
    if len(texts) != job.count or len(set(texts)) != 1 or len(texts[0].split()) != job.tokens:
        raise SystemExit(f"{job.count} texts of {job.tokens} words were asked for, others came")
    return figures | {"memory": peak()}


def main() -> None:
    order = json.loads(sys.argv[1])
    print(json.dumps(measure_map(order.pop("way"), Job(**order))))


if __name__ == "__main__":
    main()
