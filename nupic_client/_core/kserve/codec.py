"""Elements of a tensor to and from its raw contents, without numpy."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nupic_client.signature import TensorValue

__all__ = ["decode_bytes_tensor", "decode_number", "decode_numbers", "encode_tensor", "is_numeric"]

_PACK = MappingProxyType(
    {
        "BOOL": "?",
        "INT8": "b",
        "INT16": "h",
        "INT32": "i",
        "INT64": "q",
        "UINT8": "B",
        "UINT16": "H",
        "UINT32": "I",
        "UINT64": "Q",
        "FP16": "e",
        "FP32": "f",
        "FP64": "d",
    }
)


def encode_tensor(datatype: str, values: Sequence[TensorValue]) -> bytes:
    """Encode elements as the raw content of a tensor.

    Args:
        datatype: KServe v2 data type. BYTES elements are written as a little-endian u32 length and the bytes.
        values: the elements in row-major order; ``str`` is encoded as UTF-8.

    Returns:
        The bytes for ``raw_input_contents`` or ``raw_output_contents``.

    Raises:
        ValueError: the data type is unknown, or a value does not fit it.
    """
    if datatype == "BYTES":
        encoded = [value if isinstance(value, bytes) else str(value).encode() for value in values]
        return b"".join(struct.pack("<I", len(item)) + item for item in encoded)
    try:
        return struct.pack(f"<{len(values)}{_PACK[datatype]}", *values)
    except (KeyError, struct.error, OverflowError) as error:
        raise ValueError(f"cannot encode {list(values)!r} as {datatype}: {error}") from None


def decode_bytes_tensor(raw: bytes) -> list[bytes]:
    """Decode the raw content of a BYTES tensor into its elements.

    Raises:
        ValueError: a length prefix and the content do not agree.
    """
    elements = []
    position = 0
    while position < len(raw):
        end = position + 4
        if end > len(raw):
            raise ValueError(
                f"a BYTES tensor ends in the middle of a length prefix, {len(raw) - position} of 4 bytes"
            )
        length = int.from_bytes(raw[position:end], "little")
        if end + length > len(raw):
            raise ValueError(
                f"a BYTES element of {length} bytes is announced but only {len(raw) - end} follow"
            )
        elements.append(raw[end : end + length])
        position = end + length
    return elements


def decode_number(datatype: str, raw: bytes) -> float | int | None:
    """Decode the first element of a numeric tensor, or None where there is none.

    The length of the content counts, not the declared shape: vLLM sends its token counts as scalars without shape.
    """
    code = _PACK.get(datatype)
    if code is None or len(raw) < struct.calcsize(code):
        return None
    value: float | int = struct.unpack_from(f"<{code}", raw)[0]
    return value


def decode_numbers(datatype: str, raw: bytes) -> list[int | float]:
    """Decode all elements of a numeric tensor; the length of the content counts, as for `decode_number`."""
    code = _PACK.get(datatype)
    if code is None:
        return []
    return list(struct.unpack_from(f"<{len(raw) // struct.calcsize(code)}{code}", raw))


def is_numeric(datatype: str) -> bool:
    """Return whether elements of this data type are numbers that can be decoded."""
    return datatype in _PACK
