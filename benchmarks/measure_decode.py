"""The cost of a token or a request without a network: ``python -m benchmarks.measure_decode '{"way": …}'``.

The messages are those of the blast server. A fake call hands them over from memory, so that what is timed is the code
between gRPC and the caller.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.blast_server import MODEL, WORDS, model_config, token_message
from nupic_client import StreamingClient
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.request import GenerationRequest, WireRequest
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import signature_from_config
from nupic_client._grpc.call import StreamCall
from nupic_client._sync.stream import TextStream
from nupic_client.backends.protocol import OutputNames
from nupic_client.model_spec import ModelSpec

REQUEST_ID = "0" * 32
STOPS = ("\n\nUser:", "<|im_end|>", "###", "Observation:")
"""Not in the text, as most of the time: each token must be searched for their beginnings."""
SENTENCE = " Grüße aus 東京 🙂, naïvement".encode()
PIECES = [SENTENCE[place : place + 4] for place in range(0, len(SENTENCE), 4)]
"""Text whose characters are divided between tokens."""


class Call:
    """An answer that is there already, in place of gRPC's call."""

    def __init__(self, messages: list[bytes]) -> None:
        self._next = iter(messages).__next__

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._next()

    def cancel(self) -> None:
        """There is nothing to cancel."""


class Memory:
    """A transport that answers from memory."""

    closed = False

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = messages

    def stream(self, _: GenerationSession) -> StreamCall:
        return StreamCall(Call(self._messages), None)


def messages(chunks: list[Any], number: int) -> list[bytes]:
    made = [token_message(REQUEST_ID, chunk) for chunk in chunks]
    return [*(made * (number // len(made) + 1))[:number], token_message(REQUEST_ID, "", final=True)]


def session(stops: tuple[str, ...]) -> GenerationSession:
    request = GenerationRequest(
        model=ModelSpec(name=MODEL), prompt="", options=CallOptions(), request_id=REQUEST_ID, target="memory"
    )
    return GenerationSession(
        request, WireRequest(None, OutputNames(cumulative=None), stops), time.monotonic()
    )


def parse(answers: list[bytes]) -> list[str]:
    """Do what every client must: parse the message and decode the text."""
    read = wire.pb.ModelStreamInferResponse.FromString
    texts = []
    for data in Call(answers):
        for content in read(data).infer_response.raw_output_contents:
            texts.append(content[4:].decode())
    return texts


def parse_as_tritonclient(answers: list[bytes]) -> list[str]:
    from tritonclient.grpc import InferResult

    read = wire.pb.ModelStreamInferResponse.FromString
    texts = []
    for data in Call(answers):
        array = InferResult(read(data).infer_response).as_numpy("text_output")
        if array is not None:
            texts.append(array[0].decode())
    return texts


def decode(answers: list[bytes], stops: tuple[str, ...] = ()) -> list[str]:
    """Do what `GenerationSession` does for each message: recognise it, decode, look for stop strings, count and time."""
    running = session(stops)
    receive = running.receive
    texts = []
    for data in Call(answers):
        texts.append(receive(data, 1.0) or "")
    return texts


def stream(answers: list[bytes], stops: tuple[str, ...] = ()) -> list[str]:
    """Read a whole `TextStream`."""
    texts = []
    for text in TextStream(Memory(answers), session(stops)):  # type: ignore[arg-type]  # in place of gRPC
        texts.append(text)
    return texts


def signature() -> Any:
    return signature_from_config(wire.pb.ModelConfigResponse.FromString(model_config()).config)


def bare_request() -> Any:
    request = wire.pb.ModelInferRequest(model_name=MODEL, id=REQUEST_ID)
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(b"\x05\0\0\0Hello")
    request.inputs.add(name="max_tokens", datatype="INT32", shape=[1])
    request.raw_input_contents.append((100).to_bytes(4, "little"))
    request.parameters[wire.EMPTY_FINAL_PARAMETER].bool_param = True
    return request.SerializeToString()


def requests_bare() -> Callable[[], Any]:
    return bare_request


def requests_tritonclient() -> Callable[[], Any]:
    import numpy as np
    import tritonclient.grpc as module
    from tritonclient.grpc._utils import _get_inference_request

    def build() -> Any:
        inputs = [
            module.InferInput("text_input", [1], "BYTES"),
            module.InferInput("max_tokens", [1], "INT32"),
        ]
        inputs[0].set_data_from_numpy(np.array([b"Hello"], dtype=np.object_))
        inputs[1].set_data_from_numpy(np.array([100], dtype=np.int32))
        request = _get_inference_request(
            model_name=MODEL,
            inputs=inputs,
            model_version="",
            request_id=REQUEST_ID,
            outputs=None,
            sequence_id=0,
            sequence_start=False,
            sequence_end=False,
            priority=0,
            timeout=None,
            parameters=None,
        )
        return request.SerializeToString()

    return build


def requests_ours(**options: Any) -> Callable[[], Any]:
    client = StreamingClient(MODEL, "127.0.0.1:1", max_tokens=100)
    model = signature()

    def build() -> Any:
        request = client._request("Hello", options)
        return client._request_cache.wire_request(request, model).message.SerializeToString()

    return build


TOKENS: dict[str, tuple[Callable[..., list[str]], list[Any], tuple[str, ...]]] = {
    "bare: parse and decode": (parse, WORDS, ()),
    "tritonclient: InferResult": (parse_as_tritonclient, WORDS, ()),
    "nupic_client: decoder": (decode, WORDS, ()),
    "nupic_client: TextStream": (stream, WORDS, ()),
    "nupic_client: TextStream, stop strings": (stream, WORDS, STOPS),
    "nupic_client: TextStream, divided characters": (stream, PIECES, ()),
    "nupic_client: TextStream, both": (stream, PIECES, STOPS),
}
"""What is done with the messages, the texts in them, and the stop strings."""
REQUESTS: dict[str, Callable[[], Callable[[], Any]]] = {
    "bare": requests_bare,
    "tritonclient": requests_tritonclient,
    "nupic_client": requests_ours,
    "nupic_client, options of the call": lambda: requests_ours(max_tokens=50, timeout=30.0),
}
"""Each returns what builds one request."""
BATCHES = 5


def measure(way: str, number: int) -> float:
    """Return the microseconds of CPU for one token or request: the median of some batches, with the collector on."""
    run: Callable[[], Any]
    if way in TOKENS:
        act, chunks, stops = TOKENS[way]
        number = max(number // len(chunks), 1) * len(chunks)  # no character is left half
        run = partial(act, messages(chunks, number), *([stops] if stops else []))
        expected = "".join(chunks) if chunks is WORDS else SENTENCE.decode()
        if "".join(run()) != expected * (number // len(chunks)):
            raise SystemExit(f"{way} does not give the text that was sent")
    else:
        build = REQUESTS[way]()

        def run() -> None:
            for _ in range(number):
                build()

    times = []
    for _ in range(BATCHES):
        gc.collect()
        start = time.process_time()
        run()
        times.append((time.process_time() - start) / number * 1e6)
    return sorted(times)[BATCHES // 2]


def main() -> None:
    order = json.loads(sys.argv[1])
    print(json.dumps({"microseconds": measure(order["way"], order["number"])}))


if __name__ == "__main__":
    main()
