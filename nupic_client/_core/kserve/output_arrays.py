"""The outputs of a response as arrays. The inputs of a request are encoded by `nupic_client._core.kserve.input_arrays`.

A numeric array is not copied: it is a read-only view of the response. numpy has no bfloat16, so BF16 is received as float32,
which holds every BF16 value exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from nupic_client._arrays import Array
from nupic_client._core.kserve.arrays import DTYPES
from nupic_client._core.kserve.codec import decode_bytes_tensor, raw_contents, typed_elements
from nupic_client.errors import ProtocolError
from nupic_client.options import TextAs

__all__ = ["decode_output", "decode_outputs", "from_raw", "text_bytes", "texts_of"]


def decode_outputs(response: Any, text: TextAs) -> dict[str, Array]:
    """Return the outputs of a response as arrays, in the server's order.

    Numeric arrays are read-only views of the response. BF16 becomes float32.

    Args:
        response: a ``ModelInferResponse``.
        text: the Python type of BYTES elements.

    Raises:
        ProtocolError: the contents of an output do not fit its data type and shape.
    """
    raws = raw_contents(response)
    return {
        output.name: decode_output(output, raw, text)
        for output, raw in zip(response.outputs, raws, strict=False)
    }


def text_bytes(response: Any) -> int:
    """Return the size of the BYTES outputs of a ``ModelInferResponse``, whose elements become Python objects one by one."""
    return sum(
        sum(map(len, output.contents.bytes_contents)) if raw is None else len(raw)
        for output, raw in zip(response.outputs, raw_contents(response), strict=False)
        if output.datatype == "BYTES"
    )


def decode_output(output: Any, raw: bytes | None, text: TextAs) -> Array:
    """Return one output of a response as an array.

    Args:
        output: an ``InferOutputTensor``.
        raw: its raw contents; None where its elements stand in itself.
        text: as for `decode_outputs`.

    Raises:
        ProtocolError: the contents do not fit the data type and shape.
    """
    try:
        shape = _shape(output.shape)
        if raw is not None:
            return from_raw(output.datatype, shape, raw, text)
        return _from_values(output, shape, text)
    except (ValueError, OverflowError) as error:
        raise ProtocolError(f"output {output.name!r} cannot be decoded: {error}") from None


def _shape(dims: Iterable[int]) -> tuple[int, ...]:
    shape = tuple(dims)
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape must not be {list(shape)}")
    return shape


def from_raw(datatype: str, shape: tuple[int, ...], raw: bytes, text: TextAs) -> Array:
    """Return the array of raw contents; ``text`` as for `decode_outputs`.

    Raises:
        ValueError: the contents do not fit the data type and shape.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _from_strings(decode_bytes_tensor(bytes(raw)), shape, text)
    dtype = np.dtype("<u2") if datatype == "BF16" else DTYPES.get(datatype)
    if dtype is None:
        raise ValueError(f"this client does not know its data type {datatype!r}")
    if len(raw) != count * dtype.itemsize:
        raise ValueError(
            f"{datatype} of the shape {list(shape)} must have {count * dtype.itemsize} bytes, not {len(raw)}"
        )
    array: Array = np.frombuffer(raw, dtype).reshape(shape)
    if datatype == "BF16":
        return (array.astype("<u4") << np.uint32(16)).view("<f4")
    return array


def _from_values(output: Any, shape: tuple[int, ...], text: TextAs) -> Array:
    values = typed_elements(output)
    if values is None:
        raise ValueError(f"its data type {output.datatype!r} needs raw contents, and there are none")
    if output.datatype == "BYTES":
        return _from_strings(list(values), shape, text)
    if len(values) != math.prod(shape):
        raise ValueError(f"the shape {list(shape)} must have {math.prod(shape)} elements, not {len(values)}")
    return np.array(values, DTYPES[output.datatype]).reshape(shape)


def _from_strings(elements: list[bytes], shape: tuple[int, ...], text: TextAs) -> Array:
    if len(elements) != math.prod(shape):
        raise ValueError(
            f"the shape {list(shape)} must have {math.prod(shape)} elements, not {len(elements)}"
        )
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return (array if text == "bytes" else texts_of(array)).reshape(shape)


def texts_of(array: Array, *, errors: str = "strict") -> Array:
    """Return an array of ``bytes`` as one of ``str``.

    Args:
        array: the elements.
        errors: as for ``bytes.decode``.

    Raises:
        ValueError: an element is not UTF-8.
    """
    texts = np.empty(array.shape, dtype=object)
    try:
        texts.ravel()[:] = [
            item.decode(errors=errors) if isinstance(item, bytes) else item for item in array.ravel()
        ]
    except UnicodeDecodeError as error:
        raise ValueError(f"an element is not UTF-8 ({error.reason}): ask for it with text='bytes'") from None
    return texts
