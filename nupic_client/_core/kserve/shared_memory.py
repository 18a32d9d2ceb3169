"""The outputs of a response that a server has written to shared memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nupic_client._core.kserve.arrays import Array
from nupic_client._core.kserve.codec import raw_contents, typed_elements
from nupic_client._core.kserve.output_arrays import decode_output
from nupic_client._datatypes import DATATYPES
from nupic_client.errors import ProtocolError
from nupic_client.options import TextAs
from nupic_client.shared_memory_places import SharedMemoryOutput, SharedMemoryTensor

__all__ = ["decode_with_places"]

_PREFIX = 4
"""Bytes of the length in front of each element of BYTES."""


def decode_with_places(
    response: Any, text: TextAs, places: Mapping[str, SharedMemoryOutput]
) -> tuple[dict[str, Array], dict[str, SharedMemoryTensor]]:
    """Return the outputs of a response as arrays, and where in shared memory some of them are.

    An output in memory that this process has is an array too: numbers are a read-only view of that memory. A server without
    shared memory sends the contents all the same.

    Args:
        response: a ``ModelInferResponse``.
        text: the Python type of BYTES elements.
        places: where outputs were to be written, by name.

    Raises:
        ProtocolError: an output cannot be decoded, or does not fit its place.
    """
    arrays: dict[str, Array] = {}
    tensors: dict[str, SharedMemoryTensor] = {}
    for output, raw in zip(response.outputs, raw_contents(response), strict=False):
        place = places.get(output.name)
        if place is None or raw or typed_elements(output):
            arrays[output.name] = decode_output(output, raw, text)
            continue
        try:
            content = None if place.memory is None else memoryview(place.memory).toreadonly()
            tensor = _tensor(place, output.datatype, tuple(output.shape), content)
        except ValueError as error:
            raise ProtocolError(f"output {output.name!r} cannot be read: {error}") from None
        tensors[output.name] = tensor
        if content is not None:
            written: Any = content[tensor.offset : tensor.offset + tensor.byte_size]
            if output.datatype == "BYTES":
                written = bytes(written)  # its elements become objects of their own
            arrays[output.name] = decode_output(output, written, text)
    return arrays, tensors


def _tensor(
    place: SharedMemoryOutput, datatype: str, shape: tuple[int, ...], content: memoryview | None
) -> SharedMemoryTensor:
    """Return what was written to a place, as an input of the next request.

    Raises:
        ValueError: it does not fit the place, or is no tensor of the protocol.
    """
    count, known = math.prod(shape), DATATYPES.get(datatype)
    if known is None or any(size < 0 for size in shape):
        raise ValueError(f"{datatype} of the shape {list(shape)} is no tensor")
    size = count * known.size
    if not known.size:
        size = place.byte_size if content is None else _size_of_texts(content, place, count)
    if size > place.byte_size:
        raise ValueError(
            f"{datatype} of the shape {list(shape)} takes {size} bytes, and its place in shared memory has"
            f" {place.byte_size}"
        )
    return SharedMemoryTensor(
        region=place.region, byte_size=size, datatype=datatype, shape=shape, offset=place.offset
    )


def _size_of_texts(content: memoryview, place: SharedMemoryOutput, count: int) -> int:
    """Return the bytes of so many elements of BYTES; what stands behind them is older."""
    position, end = place.offset, place.offset + place.byte_size
    for _ in range(count):
        position += _PREFIX + int.from_bytes(content[position : min(position + _PREFIX, end)], "little")
        if position > end:
            raise ValueError("its texts do not end inside their place in shared memory")
    return position - place.offset
