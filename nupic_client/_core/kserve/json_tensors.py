"""The elements of a tensor as JSON has them, for servers over HTTP that do not take raw bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any

from nupic_client._core.kserve.codec import (
    decode_bfloat16,
    decode_bytes_tensor,
    decode_numbers,
    encode_bfloat16,
    encode_tensor,
)
from nupic_client.errors import ConfigurationError, ProtocolError

__all__ = ["from_json", "to_json"]

_KINDS: Mapping[str, type] = MappingProxyType({"BYTES": str, "BOOL": int})
"""The Python types of elements that `encode_tensor` would make of anything."""


_FLOATS = frozenset({"FP16", "FP32", "FP64", "BF16"})


def to_json(name: str, datatype: str, content: memoryview) -> list[Any]:
    """Return the elements of an input.

    Args:
        name: of the input, for the error.
        datatype: its KServe v2 data type.
        content: its raw contents.

    Raises:
        ConfigurationError: JSON cannot hold an element.
    """
    raw = bytes(content)
    if datatype == "BYTES":
        try:
            return [element.decode() for element in decode_bytes_tensor(raw)]
        except UnicodeDecodeError:
            raise ConfigurationError(
                f"input {name!r} has bytes that are not UTF-8, and this server takes JSON only: use its gRPC port"
            ) from None
    numbers = decode_bfloat16(raw) if datatype == "BF16" else decode_numbers(datatype, raw)
    if not all(map(math.isfinite, numbers)):
        raise ConfigurationError(
            f"input {name!r} has infinity or NaN, and this server takes JSON only, which has neither: use its gRPC port"
        )
    return list(numbers)


def from_json(name: str, datatype: str, data: Any) -> bytes:
    """Return the raw contents of an output.

    Args:
        name: of the output, for the error.
        datatype: its KServe v2 data type.
        data: its elements, as a flat list or with the shape in it.

    Raises:
        ProtocolError: they do not have the data type.
    """
    try:
        elements = _flat(data)
        if datatype in _FLOATS and isinstance(data, list) and None in elements:
            raise ProtocolError(
                f"output {name!r} cannot be decoded: it has null in place of a number, as JSON of some servers has for"
                " infinity and NaN: use the server's gRPC port"
            )
        kind = _KINDS.get(datatype, object)
        if not all(isinstance(element, kind) for element in elements):
            raise TypeError  # noqa: TRY301 - one sentence for all that is wrong
        if datatype == "BYTES":  # bytes that are not UTF-8 came as lone surrogates
            elements = [element.encode(errors="surrogateescape") for element in elements]
        return encode_bfloat16(elements) if datatype == "BF16" else encode_tensor(datatype, elements)
    except (ValueError, TypeError, OverflowError):
        raise ProtocolError(
            f"output {name!r} cannot be decoded: its data must be a list of {datatype} elements"
        ) from None


def _flat(data: Any) -> list[Any]:
    elements: list[Any] = [data]
    while elements and isinstance(elements[0], list):
        if not all(isinstance(row, list) for row in elements):
            raise ValueError("some rows are no lists")
        elements = list(chain.from_iterable(elements))
    return elements
