"""A client without any comfort: raw gRPC calls, so that tests see the messages as they are on the wire."""

import threading
from collections.abc import Iterable, Iterator

import grpc

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor, decode_numbers
from nupic_client.signature import InputTensor

TYPES = {
    "text_input": "BYTES",
    "stop": "BYTES",
    "guided_decoding_guide": "BYTES",
    "max_tokens": "INT32",
    "top_k": "INT32",
    "seed": "UINT64",
    "temperature": "FP32",
    "top_p": "FP32",
    "min_p": "FP32",
    "repetition_penalty": "FP32",
    "presence_penalty": "FP32",
    "frequency_penalty": "FP32",
}


def request(
    prompt="Hi", *, model="gpt.streaming", request_id="r1", marker=True, version="", outputs=(), **inputs
):
    """Build a request; ``marker`` asks for the final response, ``inputs`` are values by name."""
    tensors = []
    for name, value in {"text_input": prompt, **inputs}.items():
        if value is None:
            continue
        values = tuple(value) if isinstance(value, list) else (value,)
        tensors.append(InputTensor(name, TYPES.get(name, "BOOL"), (len(values),), values))
    parameters = {wire.EMPTY_FINAL_PARAMETER: True} if marker else {}
    return wire.build_infer_request(
        model, tensors, request_id=request_id, version=version, outputs=outputs, parameters=parameters
    )


def text_of(message) -> bytes:
    """Return the text output of a streamed response, b"" where it has none."""
    response = message.infer_response
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.name == "text_output":
            return decode_bytes_tensor(raw)[0]
    return b""


def output_of(response, name):
    """Return the first element of an output of a ModelInferResponse."""
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.name == name:
            if output.datatype == "BYTES":
                return decode_bytes_tensor(raw)[0]
            return decode_numbers(output.datatype, raw)[0]
    raise KeyError(name)


def is_final(message):
    """Return the final mark: True, False, or None where it is absent."""
    parameters = message.infer_response.parameters
    return parameters[wire.FINAL_PARAMETER].bool_param if wire.FINAL_PARAMETER in parameters else None


class HeldOpen:
    """Requests on one stream that stays open until `close`."""

    def __init__(self):
        self._items = []
        self._changed = threading.Condition()
        self._closed = False

    def send(self, item):
        with self._changed:
            self._items.append(item)
            self._changed.notify()

    def close(self):
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __iter__(self) -> Iterator:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed)
                if not self._items:
                    return
                item = self._items.pop(0)
            yield item


class RawClient:
    """Calls by method name. Use as a context manager."""

    def __init__(self, url):
        self.channel = grpc.insecure_channel(url, options=[("grpc.max_receive_message_length", -1)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, name, message=None, /, **fields):
        request_class, response_class = wire.METHODS[name]
        call = self.channel.unary_unary(
            wire.method_path(name),
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        return call(message if message is not None else request_class(**fields), timeout=30)

    def stream(self, message, **options):
        """Send one request and half-close."""
        call = self.channel.unary_stream(
            wire.method_path("ModelStreamInfer"),
            request_serializer=wire.pb.ModelInferRequest.SerializeToString,
            response_deserializer=wire.pb.ModelStreamInferResponse.FromString,
        )
        return call(message, timeout=60, **options)

    def streams(self, messages: Iterable):
        """Send any number of requests on one stream."""
        call = self.channel.stream_stream(
            wire.method_path("ModelStreamInfer"),
            request_serializer=wire.pb.ModelInferRequest.SerializeToString,
            response_deserializer=wire.pb.ModelStreamInferResponse.FromString,
        )
        return call(iter(messages), timeout=60)

    def text(self, message) -> str:
        """Return the whole text of a streamed answer; fails on an error message."""
        messages = list(self.stream(message))
        assert [item.error_message for item in messages] == [""] * len(messages)
        return b"".join(map(text_of, messages)).decode()


def health(url: str, service: bytes = b"", metadata=()) -> bytes:
    """Ask the health service of gRPC; the answer is the encoded status."""
    with grpc.insecure_channel(url) as channel:
        message = b"\x0a" + bytes([len(service)]) + service if service else b""
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        return call(message, timeout=10, metadata=metadata)
