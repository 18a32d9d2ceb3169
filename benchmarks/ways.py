"""The ways to read streams that are compared: each reads ``job.streams`` answers at the same time.

Every way does the same work for a token: decode it to ``str``, note the time of the first one, keep it. The bare ways
are the shortest correct code on grpcio, for what no client can beat without doing less; tritonclient is used as its
documentation says: a client object and a stream for each generation in sync code, one client in asyncio.

The loops are written out for each way, because another function call per token would be a cost of its own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
clock = time.perf_counter


@dataclass(frozen=True)
class Job:
    """What one measurement does.

    Args:
        url: ``host:port`` of the server.
        model: its name on the server.
        streams: how many answers are read at the same time.
        tokens: of each answer.
        delay_us: the model waits so long between tokens; None for a model without that input.
        stamp: each token is the time at which the model sent it.
        hold: the blast server keeps all but the first token back until so many answers are open; None does not hold.
    """

    url: str
    model: str
    streams: int
    tokens: int
    delay_us: int | None = None
    stamp: bool = True
    hold: int | None = None

    @property
    def inputs(self) -> dict[str, int]:
        """The model's inputs besides the prompt and ``max_tokens``."""
        inputs = {} if self.delay_us is None else {"token_delay_us": self.delay_us, "stamp": int(self.stamp)}
        return inputs if self.hold is None else inputs | {"hold": self.hold}

    @property
    def stamped(self) -> bool:
        """Whether the texts are times."""
        return self.delay_us is not None and self.stamp


class Sink:
    """What one answer brought: its texts, when it was asked for, when the first of them came, and when it was complete."""

    __slots__ = ("asked", "done", "first", "take", "texts")

    def __init__(self, *, stamped: bool) -> None:
        self.texts: list[Any] = []
        self.asked = self.first = self.done = 0.0
        self.take: Callable[[str], None] = self._stamped if stamped else self.texts.append

    def _stamped(self, text: str) -> None:
        self.texts.append((time.monotonic_ns(), text))


def bare_request(job: Job) -> Any:
    from tritonclient.grpc import service_pb2 as pb

    request = pb.ModelInferRequest(model_name=job.model, id="0" * 32)
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(b"\x05\0\0\0Hello")
    for name, value in {"max_tokens": job.tokens, **job.inputs}.items():
        request.inputs.add(name=name, datatype="INT32", shape=[1])
        request.raw_input_contents.append(value.to_bytes(4, "little"))
    return request


def in_threads(read: Callable[[Sink], None], sinks: list[Sink]) -> tuple[float, float]:
    """Run ``read`` for each sink in a thread of its own, all released at once; return wall and CPU seconds."""
    barrier = threading.Barrier(len(sinks) + 1)

    def run(sink: Sink) -> None:
        barrier.wait()
        read(sink)
        sink.done = clock()

    threads = [threading.Thread(target=run, args=(sink,)) for sink in sinks]
    for thread in threads:
        thread.start()
    wall, cpu = clock(), time.process_time()
    barrier.wait()
    for thread in threads:
        thread.join()
    return clock() - wall, time.process_time() - cpu


async def in_tasks(read: Callable[[Sink], Any], sinks: list[Sink]) -> tuple[float, float]:
    """Run ``read`` for each sink in a task of its own; return wall and CPU seconds."""

    async def run(sink: Sink) -> None:
        await read(sink)
        sink.done = clock()

    wall, cpu = clock(), time.process_time()
    await asyncio.gather(*(run(sink) for sink in sinks))
    return clock() - wall, time.process_time() - cpu


def bare_sync(job: Job, run: Callable[..., Any]) -> None:
    import grpc
    import grpc.experimental
    from tritonclient.grpc import service_pb2 as pb

    options = [(grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)]
    with grpc.insecure_channel(job.url, options) as channel:
        start = channel.unary_stream(
            STREAM, pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
        )

        def read(sink: Sink) -> None:
            texts, take = sink.texts, sink.take
            sink.asked = clock()
            for response in start(bare_request(job)):
                for content in response.infer_response.raw_output_contents:
                    if not texts:
                        sink.first = clock()
                    take(content[4:].decode())

        run(lambda sinks: in_threads(read, sinks))


def bare_async(job: Job, run: Callable[..., Any], channels: int = 1, options: Any = None) -> None:
    async def main() -> None:
        import grpc.aio
        from tritonclient.grpc import service_pb2 as pb

        opened = [grpc.aio.insecure_channel(job.url, options) for _ in range(channels)]
        starts = itertools.cycle(
            [
                channel.unary_stream(
                    STREAM, pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
                )
                for channel in opened
            ]
        )

        async def read(sink: Sink) -> None:
            texts, take = sink.texts, sink.take
            sink.asked = clock()
            async for response in next(starts)(bare_request(job)):
                for content in response.infer_response.raw_output_contents:
                    if not texts:
                        sink.first = clock()
                    take(content[4:].decode())

        await run(lambda sinks: in_tasks(read, sinks))
        for channel in opened:
            await channel.close()

    run_loop(main)


def ours_sync(job: Job, run: Callable[..., Any]) -> None:
    from nupic_client import StreamingClient

    with StreamingClient(job.model, job.url, backend_inputs=job.inputs, max_tokens=job.tokens) as client:

        def read(sink: Sink) -> None:
            texts, take = sink.texts, sink.take
            sink.asked = clock()
            for text in client.stream("Hello"):
                if not texts:
                    sink.first = clock()
                take(text)

        run(lambda sinks: in_threads(read, sinks))


def ours_async(job: Job, run: Callable[..., Any]) -> None:
    async def main() -> None:
        from nupic_client import StreamingClient

        async with StreamingClient(
            job.model, job.url, backend_inputs=job.inputs, max_tokens=job.tokens
        ) as client:

            async def read(sink: Sink) -> None:
                texts, take = sink.texts, sink.take
                sink.asked = clock()
                async for text in client.astream("Hello"):
                    if not texts:
                        sink.first = clock()
                    take(text)

            await run(lambda sinks: in_tasks(read, sinks))

    run_loop(main)


def one_poller(job: Job, run: Callable[..., Any]) -> None:
    """Threads that are fed by one event loop: the other way to serve many threads, tried for comparison.

    One thread runs ``grpc.aio`` for all streams and hands each token over by a queue to the thread that reads it.
    """
    import grpc.aio
    from tritonclient.grpc import service_pb2 as pb

    loop = asyncio.new_event_loop()
    poller = threading.Thread(target=loop.run_forever, daemon=True)
    poller.start()

    async def connect() -> Any:
        return grpc.aio.insecure_channel(job.url)

    channel = asyncio.run_coroutine_threadsafe(connect(), loop).result()
    start = channel.unary_stream(
        STREAM, pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
    )

    async def feed(put: Callable[[str | None], None]) -> None:
        async for response in start(bare_request(job)):
            for content in response.infer_response.raw_output_contents:
                put(content[4:].decode())
        put(None)

    def read(sink: Sink) -> None:
        texts, take = sink.texts, sink.take
        chunks: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        sink.asked = clock()
        ended = asyncio.run_coroutine_threadsafe(feed(chunks.put), loop)
        while (text := chunks.get()) is not None:
            if not texts:
                sink.first = clock()
            take(text)
        ended.result()

    run(lambda sinks: in_threads(read, sinks))
    asyncio.run_coroutine_threadsafe(channel.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    poller.join()


def triton_inputs(job: Job, module: Any) -> list[Any]:
    import numpy as np

    inputs = [module.InferInput("text_input", [1], "BYTES")]
    inputs[0].set_data_from_numpy(np.array([b"Hello"], dtype=np.object_))
    for name, value in {"max_tokens": job.tokens, **job.inputs}.items():
        inputs.append(module.InferInput(name, [1], "INT32"))
        inputs[-1].set_data_from_numpy(np.array([value], dtype=np.int32))
    return inputs


def tritonclient_sync(job: Job, run: Callable[..., Any]) -> None:
    import tritonclient.grpc as module

    clients: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(job.streams):
        clients.put(module.InferenceServerClient(job.url))

    def read(sink: Sink) -> None:
        texts, take = sink.texts, sink.take
        client = clients.get()
        ended = threading.Event()

        def callback(result: Any, error: Any) -> None:
            if error is not None:
                raise error
            if result.get_response().parameters["triton_final_response"].bool_param:
                ended.set()
                return
            if not texts:
                sink.first = clock()
            take(result.as_numpy("text_output")[0].decode())

        sink.asked = clock()
        client.start_stream(callback)
        client.async_stream_infer(
            job.model,
            triton_inputs(job, module),
            request_id="0" * 32,
            enable_empty_final_response=True,
        )
        ended.wait()
        client.stop_stream()
        clients.put(client)

    run(lambda sinks: in_threads(read, sinks))


def tritonclient_async(job: Job, run: Callable[..., Any]) -> None:
    async def main() -> None:
        import tritonclient.grpc.aio as module

        async with module.InferenceServerClient(job.url) as client:

            async def requests() -> Any:
                yield {
                    "model_name": job.model,
                    "inputs": triton_inputs(job, module),
                    "request_id": "0" * 32,
                }

            async def read(sink: Sink) -> None:
                texts, take = sink.texts, sink.take
                sink.asked = clock()
                async for result, error in client.stream_infer(requests()):
                    if error is not None:
                        raise error
                    if not texts:
                        sink.first = clock()
                    data = result.as_numpy("text_output")
                    if data is None:  # the empty final response
                        continue
                    take(data[0].decode())

            await run(lambda sinks: in_tasks(read, sinks))

    run_loop(main)


def run_loop(main: Callable[[], Any]) -> None:
    asyncio.run(main())


def on_uvloop(way: Callable[..., None]) -> Callable[..., None]:
    def run(job: Job, measure: Callable[..., Any]) -> None:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        way(job, measure)

    return run


WAYS: dict[str, Callable[..., None]] = {
    "bare grpcio": bare_sync,
    "nupic_client": ours_sync,
    "tritonclient": tritonclient_sync,
    "bare, one poller": one_poller,
    "bare grpc.aio": bare_async,
    "nupic_client async": ours_async,
    "tritonclient.aio": tritonclient_async,
    "bare grpc.aio, uvloop": on_uvloop(bare_async),
    "nupic_client async, uvloop": on_uvloop(ours_async),
}
"""Every way by the name the tables use."""

NEEDS = {"bare grpc.aio, uvloop": "uvloop", "nupic_client async, uvloop": "uvloop"}
"""The package that a way needs and not everybody has."""


def available(ways: Iterable[str] = WAYS) -> list[str]:
    """Return the ways that can be measured here: those whose package is installed."""
    return [way for way in ways if way not in NEEDS or importlib.util.find_spec(NEEDS[way])]


def on_channels(count: int, *, shared: bool = False) -> Callable[..., None]:
    """Return the bare async way on several channels, on one connection for all or one for each."""
    options = [("grpc.use_local_subchannel_pool", 0 if shared else 1)]
    return lambda job, run: bare_async(job, run, count, options)


CHANNELS: dict[str, Callable[..., None]] = {
    "one channel": on_channels(1),
    "one channel, shared pool": on_channels(1, shared=True),
    "2 channels": on_channels(2),
    "4 channels": on_channels(4),
}
"""Bare grpc.aio over one connection and over several."""


def rivals(way: str) -> tuple[str, str]:
    """Return the bare way and tritonclient's way that a way is compared with."""
    if way in {"bare grpcio", "nupic_client", "tritonclient", "bare, one poller"}:
        return "bare grpcio", "tritonclient"
    return "bare grpc.aio, uvloop" if way.endswith("uvloop") else "bare grpc.aio", "tritonclient.aio"
