"""Calls without the client: messages as they go over the wire."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import decode_bytes_tensor, decode_numbers
from nupic_client.signature import InputTensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Answer", "Raw", "build", "floats", "ints", "outputs_of", "strings"]

TIMEOUT = 20.0


@dataclass(frozen=True)
class Answer:
    """What one call gave: its messages and how it ended."""

    messages: tuple[Any, ...]
    code: str
    details: str


class Raw:
    """Calls to one server.

    Args:
        url: ``host:port``.
    """

    def __init__(self, url: str) -> None:
        self._channel = grpc.insecure_channel(
            url, [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        )

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def call(self, method: str, **fields: Any) -> Answer:
        """Make a unary call."""
        request, response = wire.METHODS[method]
        return self.send(method, request(**fields), response)

    def send(self, method: str, request: Any, response: Any = None) -> Answer:
        """Make a unary call with a ready request."""
        response = response or wire.METHODS[method][1]
        call = self._channel.unary_unary(
            wire.method_path(method),
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            return Answer((call(request, timeout=TIMEOUT),), "OK", "")
        except grpc.RpcError as error:
            return Answer((), error.code().name, error.details())

    def start(self, request: Any, timeout: float = TIMEOUT) -> Any:
        """Start a stream with one request and return the call."""
        return self._channel.unary_stream(
            wire.method_path("ModelStreamInfer"),
            request_serializer=wire.pb.ModelInferRequest.SerializeToString,
            response_deserializer=wire.pb.ModelStreamInferResponse.FromString,
        )(request, timeout=timeout)

    def stream(self, request: Any, timeout: float = TIMEOUT) -> Answer:
        """Send one request and read all of its answers."""
        messages: list[Any] = []
        call = self.start(request, timeout)
        with contextlib.suppress(grpc.RpcError):
            for message in call:
                messages.append(message)  # noqa: PERF402 - what came before an error counts
        return Answer(tuple(messages), call.code().name, call.details())


def strings(*values: str | bytes, shape: Sequence[int] = (1,)) -> tuple[str, Sequence[int], tuple[Any, ...]]:
    """Describe a BYTES input."""
    return "BYTES", shape, values


def ints(
    *values: int, shape: Sequence[int] = (1,), datatype: str = "INT32"
) -> tuple[str, Sequence[int], tuple[Any, ...]]:
    """Describe an input of integers or booleans."""
    return datatype, shape, values


def floats(*values: float, shape: Sequence[int] = (1,)) -> tuple[str, Sequence[int], tuple[Any, ...]]:
    """Describe an FP32 input."""
    return "FP32", shape, values


def build(
    model: str,
    inputs: Mapping[str, tuple[str, Sequence[int], tuple[Any, ...]]],
    *,
    request_id: str = "r1",
    final: bool = True,
    **options: Any,
) -> Any:
    """Build a request; ``final`` asks for the empty final response."""
    tensors = [
        InputTensor(name, datatype, tuple(shape), values)
        for name, (datatype, shape, values) in inputs.items()
    ]
    parameters = {**({wire.EMPTY_FINAL_PARAMETER: True} if final else {}), **options.pop("parameters", {})}
    return wire.build_infer_request(model, tensors, request_id=request_id, parameters=parameters, **options)


def outputs_of(response: Any) -> dict[str, list[Any]]:
    """Return the outputs of a response, each decoded by the data type that the response states."""
    found: dict[str, list[Any]] = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.datatype == "BYTES":
            found[output.name] = decode_bytes_tensor(raw)
        else:
            found[output.name] = list(decode_numbers(output.datatype, raw))
    return found
