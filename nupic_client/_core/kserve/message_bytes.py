"""Messages as bytes: their raw contents are neither copied nor parsed.

Field number and wire type 2, a length and bytes: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nupic_client._core.kserve.wire import Content, parse_infer_response, pb

__all__ = [
    "LargeResponse",
    "id_field",
    "join_request",
    "raw_output_marks",
    "serialized_contents",
    "split_infer_request",
    "split_infer_response",
]


def _tag(message: Any, field: str) -> bytes:
    return bytes([message.DESCRIPTOR.fields_by_name[field].number << 3 | 2])


_ID_TAG = _tag(pb.ModelInferRequest, "id")
_RESPONSE_ID_TAG = _tag(pb.ModelInferResponse, "id")
_RAW_INPUT_TAG = _tag(pb.ModelInferRequest, "raw_input_contents")
_RAW_OUTPUT_TAG = _tag(pb.ModelInferResponse, "raw_output_contents")


_SMALL = tuple(bytes([number]) for number in range(0x80))


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SMALL[number]
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def join_request(head: bytes, request_id: str, contents: Iterable[Iterable[Content]]) -> bytes:
    """Return a serialized ModelInferRequest, copying the contents of its tensors only once.

    A protobuf message takes contents only as ``bytes`` (one copy), copies those, and copies again when it is serialized:
    16 MB take 40 ms. Fields may stand in any order on the wire, so the id and the raw contents are put behind the rest as
    they are: below 1 ms.

    Args:
        head: of `request_head`.
        request_id: echoed by the server.
        contents: the raw contents of each input, in parts that follow one another; no part for one in shared memory.
    """
    identity = request_id.encode()
    parts: list[Content] = [head, _ID_TAG, _varint(len(identity)), identity]
    for content in contents:
        if not content:  # it is in shared memory
            continue
        size = 0
        for part in content:
            size += memoryview(part).nbytes
        parts += (_RAW_INPUT_TAG, _varint(size), *content)
    return b"".join(parts)


def id_field(request_id: str) -> bytes:
    """Return the id as it stands in a serialized ModelInferResponse; nothing for an empty one."""
    identity = request_id.encode()
    return _RESPONSE_ID_TAG + _varint(len(identity)) + identity if identity else b""


def raw_output_marks(sizes: Iterable[int]) -> list[bytes]:
    """Return what stands before each of the raw contents of these sizes in a serialized ModelInferResponse."""
    return [_RAW_OUTPUT_TAG + _varint(size) for size in sizes]


def serialized_contents(contents: Iterable[bytes]) -> bytes:
    """Return raw contents as they stand at the end of a serialized response."""
    return b"".join(
        part for content in contents for part in (_RAW_OUTPUT_TAG, _varint(len(content)), content)
    )


def split_infer_request(data: bytes) -> tuple[Any, list[memoryview]]:
    """Return a serialized ModelInferRequest without its raw contents, and those as views of it: nothing large is copied.

    Args:
        data: the request. As all of this client, it has its raw contents at its end.
    """
    head, places = _split(data, _RAW_INPUT_TAG)
    view = memoryview(data)
    return pb.ModelInferRequest.FromString(head), [view[start:end] for start, end in places]


class LargeResponse:
    """A ModelInferResponse whose raw contents were not copied by protobuf, with the fields of the message."""

    __slots__ = ("id", "model_name", "model_version", "outputs", "parameters", "raw_output_contents")

    def __init__(self, message: Any, contents: list[bytes | memoryview]) -> None:
        self.id: str = message.id
        self.model_name: str = message.model_name
        self.model_version: str = message.model_version
        self.outputs = message.outputs
        self.parameters = message.parameters
        self.raw_output_contents = contents


def split_infer_response(data: bytes) -> LargeResponse:
    """Parse a serialized ``ModelInferResponse`` without copying its raw contents, unless they lie across words.

    protobuf copies them when it parses, and again for each look at them.

    Raises:
        ProtocolError: the bytes are not such a message.
    """
    try:
        head, places = _split(data, _RAW_OUTPUT_TAG)
    except (IndexError, ValueError):
        message = parse_infer_response(data)  # says what is wrong, or knows more than we do
        return LargeResponse(message, list(message.raw_output_contents))
    view = memoryview(data)
    contents = [data[start:end] if start % _WORD else view[start:end] for start, end in places]
    return LargeResponse(parse_infer_response(head), contents)


_WORD = 8
"""The largest element of an array, in bytes: numpy and others want it at a multiple of its size."""


def _split(data: bytes, tag: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a message without the fields of one tag, and the places of those.

    Raises:
        ValueError: not all of its fields have a length, or it is cut off.
        IndexError: it is cut off.
    """
    position = 0
    head: list[bytes] = []
    places: list[tuple[int, int]] = []
    while position < len(data):
        begin = position
        if data[position] & 0x87 != 2:  # a tag of one byte, and a length
            raise ValueError("a field of another kind")
        position += 1
        length = shift = 0
        while True:
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        position += length
        if position > len(data):
            raise ValueError("the message is cut off")
        if data[begin] == tag[0]:
            places.append((position - length, position))
        else:
            head.append(data[begin:position])
    return b"".join(head), places
