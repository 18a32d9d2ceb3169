"""Requests that are answered at once: ``python -m benchmarks.measure_infer '{"way": …}'`` prints its figures as JSON.

The bare ways are the shortest correct code on grpcio. A tritonclient object is meant for one thread, so its threads have
one each. Every way gives each embedding as an array and keeps it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.bulk_server import DOWNLOAD
from benchmarks.process import peak, resident

MODEL = "embed"
INFER = "/inference.GRPCInferenceService/ModelInfer"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PAUSE = 0.05
clock = time.perf_counter


def texts(number: int) -> list[str]:
    return [f"a sentence about something, number {index}" for index in range(number)]


def timed(run: Callable[[int], list[Any]], number: int) -> dict[str, Any]:
    """Measure ``run`` after a short run that opens the connection, and a pause.

    A burst of work, such as imports while gRPC starts its threads, leaves these on other cores than the thread that they
    wake, where they stay for thousands of requests, which take half as long again. After a pause the kernel
    places them anew.
    """
    run(10)
    time.sleep(PAUSE)
    wall, cpu = clock(), time.process_time()
    found = run(number)
    spent = {"wall": clock() - wall, "cpu": time.process_time() - cpu}
    check(found, number)
    return spent


async def atimed(run: Callable[[int], Any], number: int) -> dict[str, Any]:
    """Same as `timed`, for coroutines."""
    await run(10)
    await asyncio.sleep(PAUSE)
    wall, cpu = clock(), time.process_time()
    found = await run(number)
    spent = {"wall": clock() - wall, "cpu": time.process_time() - cpu}
    check(found, number)
    return spent


def check(found: list[Any], number: int) -> None:
    if len(found) != number or any(vector.shape[-1] != 384 for vector in found):
        raise SystemExit(f"{number} vectors were expected, {len(found)} came")


def in_threads(one: Callable[[Any, str], Any], clients: list[Any], number: int) -> list[Any]:
    """Work on the texts with a thread for each client."""
    left: Iterator[str] = iter(texts(number))
    lock = threading.Lock()
    found: list[Any] = []

    def work(client: Any) -> None:
        while True:
            with lock:
                text = next(left, None)
            if text is None:
                return
            found.append(one(client, text))

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


async def in_tasks(one: Callable[[str], Any], at_once: int, number: int) -> list[Any]:
    left = iter(texts(number))
    found: list[Any] = []

    async def work() -> None:
        for text in left:
            found.append(await one(text))

    await asyncio.gather(*(work() for _ in range(at_once)))
    return found


def bare_call(channel: Any) -> Any:
    from tritonclient.grpc import service_pb2 as pb

    return channel.unary_unary(
        INFER, pb.ModelInferRequest.SerializeToString, pb.ModelInferResponse.FromString
    )


def bare_request(text: str) -> Any:
    from tritonclient.grpc import service_pb2 as pb

    request = pb.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1, 1])
    raw = text.encode()
    request.raw_input_contents.append(len(raw).to_bytes(4, "little") + raw)
    return request


def vector_of(response: Any) -> Any:
    return np.frombuffer(response.raw_output_contents[0], np.float32)


def bare_sync(url: str, at_once: int, number: int) -> dict[str, Any]:
    import grpc

    with grpc.insecure_channel(url) as channel:
        call = bare_call(channel)
        return timed(
            lambda some: in_threads(
                lambda _, text: vector_of(call(bare_request(text))), [None] * at_once, some
            ),
            number,
        )


def bare_async(url: str, at_once: int, number: int) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        import grpc.aio

        async with grpc.aio.insecure_channel(url) as channel:
            call = bare_call(channel)

            async def one(text: str) -> Any:
                return vector_of(await call(bare_request(text)))

            return await atimed(lambda some: in_tasks(one, at_once, some), number)

    return asyncio.run(main())


def ours_sync(url: str, at_once: int, number: int, **options: Any) -> dict[str, Any]:
    from nupic_client import InferenceClient

    with InferenceClient(MODEL, url) as client:
        return timed(
            lambda some: [result.only for result in client.map(texts(some), concurrency=at_once, **options)],
            number,
        )


def ours_async(url: str, at_once: int, number: int) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        from nupic_client import InferenceClient

        async with InferenceClient(MODEL, url) as client:

            async def run(some: int) -> list[Any]:
                return [result.only async for result in client.amap(texts(some), concurrency=at_once)]

            return await atimed(run, number)

    return asyncio.run(main())


def one_by_one(send: Callable[[str], Any], number: int) -> dict[str, Any]:
    return timed(lambda some: [send(text) for text in texts(some)], number)


async def aone_by_one(send: Callable[[str], Any], number: int) -> dict[str, Any]:
    async def run(some: int) -> list[Any]:
        return [await send(text) for text in texts(some)]

    return await atimed(run, number)


def ours_infer(url: str, at_once: int, number: int) -> dict[str, Any]:
    from nupic_client import InferenceClient

    with InferenceClient(MODEL, url) as client:
        return one_by_one(lambda text: client.infer([text]).only, number)


def ours_ainfer(url: str, at_once: int, number: int) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        from nupic_client import InferenceClient

        async with InferenceClient(MODEL, url) as client:

            async def send(text: str) -> Any:
                return (await client.ainfer([text])).only

            return await aone_by_one(send, number)

    return asyncio.run(main())


def triton_input(module: Any, text: str) -> list[Any]:
    made = module.InferInput("text_input", [1, 1], "BYTES")
    made.set_data_from_numpy(np.array([[text.encode()]], dtype=np.object_))
    return [made]


def tritonclient_sync(url: str, at_once: int, number: int) -> dict[str, Any]:
    import tritonclient.grpc as module

    clients = [module.InferenceServerClient(url) for _ in range(at_once)]

    def one(client: Any, text: str) -> Any:
        return client.infer(MODEL, triton_input(module, text)).as_numpy("embedding")

    return timed(lambda some: in_threads(one, clients, some), number)


def tritonclient_async(url: str, at_once: int, number: int) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        import tritonclient.grpc.aio as module

        async with module.InferenceServerClient(url) as client:

            async def one(text: str) -> Any:
                return (await client.infer(MODEL, triton_input(module, text))).as_numpy("embedding")

            return await atimed(lambda some: in_tasks(one, at_once, some), number)

    return asyncio.run(main())


def batched(url: str, at_once: int, number: int) -> dict[str, Any]:
    return ours_sync(url, at_once, number, batch_size=32)


REQUESTS: dict[str, Callable[[str, int, int], dict[str, Any]]] = {
    "bare grpcio": bare_sync,
    "nupic_client infer": ours_infer,
    "nupic_client map": ours_sync,
    "tritonclient": tritonclient_sync,
    "bare grpc.aio": bare_async,
    "nupic_client ainfer": ours_ainfer,
    "nupic_client amap": ours_async,
    "tritonclient.aio": tritonclient_async,
    "nupic_client map, batch_size=32": batched,
}
SINGLE = ("nupic_client infer", "nupic_client ainfer")
"""Ways with one request at a time."""


def bulk_bare(url: str, model: str, data: Any) -> Callable[[], Any]:
    import grpc
    from tritonclient.grpc import service_pb2 as pb

    call = bare_call(grpc.insecure_channel(url, UNLIMITED))

    def run() -> Any:
        request = pb.ModelInferRequest(model_name=model)
        request.inputs.add(name="data", datatype="FP32", shape=data.shape)
        request.raw_input_contents.append(data.tobytes())
        return vector_of(call(request))

    return run


def bulk_ours(url: str, model: str, data: Any) -> Callable[[], Any]:
    from nupic_client import InferenceClient

    client = InferenceClient(model, url)
    return lambda: client.infer(data).only


def bulk_tritonclient(url: str, model: str, data: Any) -> Callable[[], Any]:
    import tritonclient.grpc as module

    client = module.InferenceServerClient(url)

    def run() -> Any:
        tensor = module.InferInput("data", list(data.shape), "FP32")
        tensor.set_data_from_numpy(data)
        return client.infer(model, [tensor]).as_numpy("result")

    return run


BULK: dict[str, Callable[[str, str, Any], Callable[[], Any]]] = {
    "bare grpcio": bulk_bare,
    "nupic_client": bulk_ours,
    "tritonclient": bulk_tritonclient,
}
TIMES = 3


def bulk(way: str, url: str, model: str, size: int) -> dict[str, Any]:
    """Send or receive a large tensor a few times; the memory is that of the first time, in times its size."""
    number, expected = (1, size // 4) if model == DOWNLOAD else (size // 4, 1)
    run = BULK[way](url, model, np.ones(number, np.float32))
    before = resident()
    walls, cpus = [], []
    copies = 0.0
    for _ in range(TIMES):
        wall, cpu = clock(), time.process_time()
        result = run()
        walls.append(clock() - wall)
        cpus.append(time.process_time() - cpu)
        copies = copies or (peak() - before) / (size / 2**20)
        if result.shape[-1] != expected:
            raise SystemExit(f"{expected} elements were expected, {result.shape} came")
        del result
    return {"wall": sorted(walls)[1], "cpu": sorted(cpus)[1], "copies": copies}


def main() -> None:
    order = json.loads(sys.argv[1])
    measure = bulk if "size" in order else REQUESTS[order.pop("way")]
    print(json.dumps(measure(**order)))


if __name__ == "__main__":
    main()
