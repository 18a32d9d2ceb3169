"""Answers over HTTP that come in parts: Triton's generate extension, and MLServer's streams, as server-sent events.

A request for a text becomes the JSON of the extension, and each event of its answer the message that gRPC would have
brought, so that one decoder reads both.

Spec: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_generate.md and
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor
from nupic_client._core.kserve.json_tensors import to_json
from nupic_client._core.kserve.rest import (
    RestRequest,
    as_json,
    infer_request,
    infer_response,
    model_path,
    parsed,
)
from nupic_client.errors import ProtocolError

__all__ = [
    "EVENT_STREAM",
    "FINAL_RESPONSE",
    "EventReader",
    "generate_request",
    "says_more_comes",
    "stream_response",
]

EVENT_STREAM = "text/event-stream"
"""The type of an answer that is a stream of events."""
_FACTS = frozenset({"id", "model_name", "model_version"})
"""The fields of an event that are no outputs."""
_HEADERS = {"Content-Type": "application/json", "Accept": EVENT_STREAM}


def _final_response() -> bytes:
    message = wire.pb.ModelStreamInferResponse()
    wire.set_parameters(message.infer_response, {wire.FINAL_PARAMETER: True})
    data: bytes = message.SerializeToString()
    return data


FINAL_RESPONSE = _final_response()
"""The message for the regular end of an answer, which HTTP says without one."""


def generate_request(message: Any, *, triton: bool) -> RestRequest:
    """Return the request for a text that is streamed.

    Args:
        message: the ``ModelInferRequest``.
        triton: whether the server takes inputs by their names, as Triton does; MLServer wants what ``infer`` takes.

    Raises:
        ConfigurationError: a value cannot be sent as JSON.
    """
    path = f"{model_path(message)}/generate_stream"
    asked = wire.pb.ModelInferRequest()
    asked.CopyFrom(message)
    asked.parameters.pop(wire.EMPTY_FINAL_PARAMETER, None)
    if not triton:
        request = infer_request(wire.serialize(asked), binary=False)
        return RestRequest("POST", path, _HEADERS, request.body)
    fields: dict[str, Any] = {"id": asked.id} if asked.id else {}
    for tensor, content in zip(asked.inputs, asked.raw_input_contents, strict=True):
        values = to_json(tensor.name, tensor.datatype, memoryview(content))
        fields[tensor.name] = values[0] if len(values) == 1 else values
    if asked.parameters:
        fields["parameters"] = dict(wire.parameters_of(asked))
    return RestRequest("POST", path, _HEADERS, (as_json(fields),))


def stream_response(event: bytes) -> bytes:
    """Return the serialized ``ModelStreamInferResponse`` that an event stands for.

    Args:
        event: its data.

    Raises:
        ProtocolError: it is none.
    """
    fields = parsed(event)
    message = wire.pb.ModelStreamInferResponse()
    error = fields.get("error")
    if isinstance(error, str) and "model_name" not in fields:
        message.error_message = error.encode(errors="replace").decode()
    elif isinstance(fields.get("outputs"), list):
        response = infer_response(event, _no_raw_bytes)
        message.infer_response.MergeFrom(response.message)
        message.infer_response.raw_output_contents.extend(response.raw_output_contents)
    else:
        _fill(message.infer_response, fields)
    data: bytes = message.SerializeToString()
    return data


def says_more_comes(event: bytes) -> bool:
    """Return whether an event says that it is not the last one: vLLM tells with each why the text has ended.

    Triton 2.51 loses the last events of a stream when thousands are waiting to be sent, and then ends it as if it were
    complete.
    """
    try:
        return parsed(event).get("finish_reason") == "None"
    except ProtocolError:
        return False


def _fill(response: Any, fields: dict[str, Any]) -> None:
    try:
        for name in _FACTS & fields.keys():
            setattr(response, name, fields[name])
        for name, value in fields.items():
            values = value if isinstance(value, list) else [value]
            if name not in _FACTS and values and value is not None and not isinstance(value, dict):
                datatype, content = _encoded(values)
                response.outputs.add(name=name, datatype=datatype, shape=[len(values)])
                response.raw_output_contents.append(content)
    except (ValueError, TypeError, OverflowError):
        raise ProtocolError(
            f"the server's answer is not what the generate extension calls for: {name[:100]!r} is neither a text nor"
            " numbers"
        ) from None


def _encoded(values: list[Any]) -> tuple[str, bytes]:
    """Return values as the contents of a tensor. JSON does not say which data type they had: the widest one is taken."""
    kinds = {type(value) for value in values}
    if kinds == {str}:
        # Triton cuts a streamed text wherever a token ends. What is no UTF-8 came as lone surrogates.
        return "BYTES", encode_tensor("BYTES", [value.encode(errors="surrogateescape") for value in values])
    if kinds == {bool}:
        return "BOOL", encode_tensor("BOOL", values)
    if kinds <= {int}:
        datatype = "UINT64" if max(values, default=0) >= 1 << 63 else "INT64"
        return datatype, encode_tensor(datatype, values)
    if kinds <= {int, float}:
        return "FP64", encode_tensor("FP64", values)
    raise TypeError


def _no_raw_bytes(_size: int) -> NoReturn:
    raise ProtocolError("the server's answer names raw bytes, which an event does not have")


class EventReader:
    r"""Server-sent events out of the pieces of an answer: what stands behind ``data:``, for each event.

    Args:
        limit: bytes that one event may have.

    Example:
        >>> reader = EventReader(100)
        >>> reader.feed(b'data: {"a":'), reader.feed(b' 1}\n\ndata: 2\n\n')
        ([], [b'{"a": 1}', b'2'])
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._line: list[bytes] = []
        """The pieces of a line that has not ended."""
        self._data: list[bytes] = []
        """The lines of data of an event that has not ended."""

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next piece and return the events that end in it.

        Raises:
            ProtocolError: an event is too long.
        """
        first, *others = piece.split(b"\n")
        self._add(first)
        events: list[bytes] = []
        for line in others:
            events += self._end_line()
            self._add(line)
        return events

    def end(self) -> list[bytes]:
        """Take the end of the answer and return the event that no empty line has ended."""
        return [*self._end_line(), *self._end_event()]

    def _add(self, piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        if self._size > self._limit:
            raise ProtocolError(f"the server sent an event of more than {self._limit} bytes")
        self._line.append(piece)

    def _end_line(self) -> Iterable[bytes]:
        line = b"".join(self._line).removesuffix(b"\r")
        self._line.clear()
        if not line:
            return self._end_event()
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        return ()

    def _end_event(self) -> Iterable[bytes]:
        self._size = 0
        data, self._data = self._data, []
        return (b"\n".join(data),) if data else ()
