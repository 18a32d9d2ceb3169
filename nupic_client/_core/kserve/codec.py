"""Elements of a tensor to and from the contents of messages, without numpy: its import would slow down text clients."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nupic_client._datatypes import DATATYPES

if TYPE_CHECKING:
    from nupic_client.signature import TensorValue

__all__ = [
    "decode_bfloat16",
    "decode_bytes_tensor",
    "decode_numbers",
    "encode_bfloat16",
    "encode_tensor",
    "is_numeric",
    "raw_contents",
    "typed_elements",
]

_CODES = {name: datatype.struct_code for name, datatype in DATATYPES.items() if datatype.struct_code}


def encode_tensor(datatype: str, values: Sequence[TensorValue]) -> bytes:
    """Encode elements as the raw contents of a tensor.

    Args:
        datatype: KServe v2 data type. BYTES elements are written as a little-endian u32 length and the bytes.
        values: the elements in row-major order; ``str`` is encoded as UTF-8.

    Returns:
        The bytes for ``raw_input_contents`` or ``raw_output_contents``.

    Raises:
        ValueError: the data type cannot be encoded, or a value does not fit it.
    """
    if datatype == "BYTES":
        parts: list[bytes] = []
        for value in values:
            element = value if isinstance(value, bytes) else str(value).encode()
            parts += (struct.pack("<I", len(element)), element)
        return b"".join(parts)
    try:
        return struct.pack(f"<{len(values)}{_CODES[datatype]}", *values)
    except (KeyError, struct.error, OverflowError) as error:
        raise ValueError(f"cannot encode {list(values)!r} as {datatype}: {error}") from None


def decode_bytes_tensor(raw: bytes) -> list[bytes]:
    """Decode the raw contents of a BYTES tensor into its elements.

    Raises:
        ValueError: a length prefix and the contents do not agree.
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


def decode_numbers(datatype: str, raw: bytes) -> tuple[int | float, ...]:
    """Decode the raw contents of a numeric tensor into its elements; none for another data type.

    The length of the contents counts, not the declared shape: vLLM sends its token counts as scalars without shape.
    """
    code = _CODES.get(datatype)
    if code is None:
        return ()
    return struct.unpack_from(f"<{len(raw) // DATATYPES[datatype].size}{code}", raw)


def encode_bfloat16(values: Sequence[float]) -> bytes:
    """Encode numbers as the raw contents of a BF16 tensor, each rounded to the nearest (ties to even).

    Raises:
        ValueError: a value is no number, or too large.
    """
    words = struct.unpack(f"<{len(values)}I", encode_tensor("FP32", values))
    return struct.pack(f"<{len(values)}H", *map(_upper_half, words))


def _upper_half(word: int) -> int:
    """Return the BF16 of an FP32, both as their bits."""
    if word & 0x7FFFFFFF > 0x7F800000:
        return 0x7FC0  # rounding could turn NaN into a number
    return (word + 0x7FFF + (word >> 16 & 1)) >> 16


def decode_bfloat16(raw: bytes) -> tuple[int | float, ...]:
    """Decode the raw contents of a BF16 tensor, whose elements are the upper halves of FP32."""
    halves = struct.unpack_from(f"<{len(raw) // 2}H", raw)
    return decode_numbers("FP32", struct.pack(f"<{len(halves)}I", *(half << 16 for half in halves)))


def is_numeric(datatype: str) -> bool:
    """Return whether the elements of this data type are numbers that can be decoded without numpy."""
    return datatype in _CODES


def typed_elements(tensor: Any) -> Sequence[Any] | None:
    """Return the elements that a tensor of a message holds in its typed contents.

    Triton sends raw contents, other servers of the protocol may send these.

    Args:
        tensor: an ``InferInputTensor`` or ``InferOutputTensor``.

    Returns:
        The elements; None for a data type that has raw contents only.
    """
    datatype = DATATYPES.get(tensor.datatype)
    return getattr(tensor.contents, datatype.contents) if datatype and datatype.contents else None


def raw_contents(answer: Any) -> Sequence[bytes | None]:
    """Return the raw contents of each output of an answer, None where its elements stand in the output itself.

    Triton sends all contents raw. KServe's own servers mix the two: the raw contents belong, in their order, to the outputs
    that have no elements.

    Args:
        answer: a ``ModelInferResponse``.
    """
    raws, outputs = answer.raw_output_contents, answer.outputs
    if len(raws) >= len(outputs):
        return raws  # type: ignore[no-any-return]
    found: list[bytes | None] = [None] * len(outputs)
    bare = [index for index, output in enumerate(outputs) if not typed_elements(output)]
    if len(bare) > len(raws):  # an output without elements needs no contents of either kind
        bare = [index for index in bare if 0 not in outputs[index].shape]
    for index, raw in zip(bare, raws, strict=False):
        found[index] = raw
    return found
