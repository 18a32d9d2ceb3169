"""Single outputs of a response as plain values.

The data type in the response counts, not the one that the model declared: TensorRT-LLM's LLM-API sends
another one.
"""

from __future__ import annotations

from typing import Any

from nupic_client._core.kserve.codec import decode_bytes_tensor, decode_number, decode_numbers, is_numeric
from nupic_client.errors import ProtocolError

__all__ = ["bytes_output", "count_output", "numbers_output"]

_LONGEST_COUNT = 20
"""Digits of the greatest number of 64 bits."""


def bytes_output(answer: Any, name: str) -> bytes | None:
    """Return the one element of a BYTES output; None where the response does not have it or it is empty.

    Args:
        answer: a ``ModelInferResponse``.
        name: of the output.

    Raises:
        ProtocolError: it is of another type, is broken, or has more than one element.
    """
    index = _index(answer.outputs, name)
    if index is None:
        return None
    output = answer.outputs[index]
    if output.datatype != "BYTES":
        raise ProtocolError(
            f"output {name!r} should be BYTES, the server sent {output.datatype}", request_id=answer.id
        )
    if index < len(answer.raw_output_contents):
        raw = answer.raw_output_contents[index]
        length = len(raw) - 4
        if length >= 0 and int.from_bytes(raw[:4], "little") == length:
            return raw[4:]  # type: ignore[no-any-return]  # one element, as nearly always
        try:
            elements = decode_bytes_tensor(raw)
        except ValueError as error:
            raise ProtocolError(f"output {name!r}: {error}", request_id=answer.id) from None
    elif answer.raw_output_contents:
        raise ProtocolError(f"output {name!r} has no content, although others have", request_id=answer.id)
    else:
        elements = list(output.contents.bytes_contents)
    if len(elements) > 1:
        raise ProtocolError(
            f"output {name!r} should have one element, the server sent {len(elements)}", request_id=answer.id
        )
    return elements[0] if elements else None


def count_output(answer: Any, name: str) -> int | None:
    """Return the first element of an output that counts something; None where it is missing or no count."""
    index = _index(answer.outputs, name)
    if index is None:
        return None
    output = answer.outputs[index]
    if output.datatype == "BYTES":
        # TensorRT-LLM's LLM-API declares numbers and sends them as text.
        text = bytes_output(answer, name) or b""
        return int(text) if text.isdigit() and len(text) <= _LONGEST_COUNT else None
    if index < len(answer.raw_output_contents):
        value = decode_number(output.datatype, answer.raw_output_contents[index])
    else:
        value = next(iter(_numbers(answer, index)), None)
    # NaN, infinity, a half or -1 is no count: unknown is better than wrong.
    return value if isinstance(value, int) and value >= 0 else None


def numbers_output(answer: Any, name: str) -> list[int | float]:
    """Return the elements of a numeric output in row-major order; none where the response does not have it.

    Raises:
        ProtocolError: it is not numeric.
    """
    index = _index(answer.outputs, name)
    if index is None:
        return []
    output = answer.outputs[index]
    if not is_numeric(output.datatype):
        raise ProtocolError(
            f"output {name!r} should be numbers, the server sent {output.datatype}", request_id=answer.id
        )
    return _numbers(answer, index)


def _index(outputs: Any, name: str) -> int | None:
    for index, output in enumerate(outputs):
        if output.name == name:
            return index
    return None


_CONTENTS = (
    "uint_contents",
    "int_contents",
    "uint64_contents",
    "int64_contents",
    "fp32_contents",
    "fp64_contents",
)


def _numbers(answer: Any, index: int) -> list[int | float]:
    output = answer.outputs[index]
    if index < len(answer.raw_output_contents):
        return decode_numbers(output.datatype, answer.raw_output_contents[index])
    return next((list(found) for name in _CONTENTS if (found := getattr(output.contents, name))), [])
