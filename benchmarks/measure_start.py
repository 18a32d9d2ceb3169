"""A program from its start to its first token: ``python -m benchmarks.measure_start '{"way": …, "began": …}'``.

Nothing but ``sys`` and ``time`` is imported before what is measured; ``json`` afterwards. What the ways share is not
shared by an import, because that would count for all of them.
"""

import sys
import time


def ours_sync(url, model, tokens):
    from nupic_client import StreamingClient

    with StreamingClient(model, url, max_tokens=tokens) as client, client.stream("Hello") as stream:
        next(stream)
        return time.monotonic()


def ours_async(url, model, tokens):
    import asyncio

    from nupic_client import StreamingClient

    async def main():
        async with (
            StreamingClient(model, url, max_tokens=tokens) as client,
            client.astream("Hello") as stream,
        ):
            await anext(stream)
            return time.monotonic()

    return asyncio.run(main())


def bare(url, model, tokens):
    import grpc
    import grpc.experimental
    from tritonclient.grpc import service_pb2 as pb

    request = bare_request(pb, model, tokens)
    options = [(grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)]
    with grpc.insecure_channel(url, options) as channel:
        call = channel.unary_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )(request)
        next(call).infer_response.raw_output_contents[0][4:].decode()
        arrived = time.monotonic()
        call.cancel()
        return arrived


def bare_request(pb, model, tokens):
    request = pb.ModelInferRequest(model_name=model, id="0" * 32)
    for name, datatype, raw in (
        ("text_input", "BYTES", b"\x05\0\0\0Hello"),
        ("max_tokens", "INT32", tokens.to_bytes(4, "little")),
    ):
        request.inputs.add(name=name, datatype=datatype, shape=[1])
        request.raw_input_contents.append(raw)
    return request


def triton_inputs(module, tokens):
    import numpy as np

    inputs = [module.InferInput("text_input", [1], "BYTES"), module.InferInput("max_tokens", [1], "INT32")]
    inputs[0].set_data_from_numpy(np.array([b"Hello"], dtype=np.object_))
    inputs[1].set_data_from_numpy(np.array([tokens], dtype=np.int32))
    return inputs


def tritonclient_sync(url, model, tokens):
    import queue

    import tritonclient.grpc as module

    arrivals = queue.SimpleQueue()

    def callback(result, error):
        result.as_numpy("text_output")[0].decode()
        arrivals.put(time.monotonic())

    client = module.InferenceServerClient(url)
    client.start_stream(callback)
    client.async_stream_infer(model, triton_inputs(module, tokens))
    first = arrivals.get()
    for _ in range(tokens - 1):
        arrivals.get()
    client.stop_stream()
    client.close()
    return first


def tritonclient_async(url, model, tokens):
    import asyncio

    import tritonclient.grpc.aio as module

    async def main():
        async with module.InferenceServerClient(url) as client:

            async def requests():
                yield {"model_name": model, "inputs": triton_inputs(module, tokens)}

            answers = client.stream_infer(requests())
            result, _ = await anext(answers)
            result.as_numpy("text_output")[0].decode()
            arrived = time.monotonic()
            answers.cancel()
            return arrived

    return asyncio.run(main())


FIRST = {
    "bare grpcio": bare,
    "nupic_client": ours_sync,
    "nupic_client async": ours_async,
    "tritonclient": tritonclient_sync,
    "tritonclient.aio": tritonclient_async,
}
"""Each returns the time of its first token."""
IMPORTS = (
    "import nupic_client",
    "from nupic_client import StreamingClient",
    "from nupic_client import InferenceClient",
    "import grpc",
    "import tritonclient.grpc",
    "import tritonclient.grpc.aio",
)


def main():
    way, began, *job = sys.argv[1:]
    if way in FIRST:
        url, model, tokens = job
        seconds = FIRST[way](url, model, int(tokens)) - float(began)
    else:
        start = time.perf_counter()
        exec(way)
        seconds = time.perf_counter() - start
    import json

    from benchmarks.process import resident

    print(json.dumps({"seconds": seconds, "memory": resident()}))


if __name__ == "__main__":
    main()
