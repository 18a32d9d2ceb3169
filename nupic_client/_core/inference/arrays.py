"""Arrays to the contents of tensors and back: KServe v2 data types as numpy sees them.

Laws:

1. Nothing is converted behind the caller's back. An array must have the model's data type. Plain Python values have no
   data type of their own, so they take the model's where they fit it.
2. Contents are little-endian and row-major, a BYTES element is a u32 length and the bytes. See
   https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
3. A numeric array is copied once on its way out, into the message that is sent, and not at all on its way in: a decoded
   array is a read-only view of the response.

numpy has no bfloat16. BF16 is sent from a ``ml_dtypes.bfloat16`` array as it is, or from a float32 array rounded to the
nearest (ties to even). It is received as float32, which holds every BF16 value exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nupic_client._core.kserve.codec import decode_bytes_tensor, encode_tensor, typed_elements
from nupic_client._datatypes import DATATYPES
from nupic_client.errors import ConfigurationError, ProtocolError
from nupic_client.options import TextAs

__all__ = [
    "Array",
    "ArrayLike",
    "as_array",
    "content_of",
    "decode_outputs",
    "from_raw",
    "own_datatype",
    "text_bytes",
    "texts_of",
]

Array: TypeAlias = NDArray[Any]
"""A numpy array of any data type."""
ArrayLike: TypeAlias = Any
"""A numpy array, an object that numpy converts to one (such as a torch tensor on the CPU), or plain Python values."""

DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(datatype.numpy_name).newbyteorder("<")
    for name, datatype in DATATYPES.items()
    if datatype.numpy_name
}
"""The numpy data type of each KServe v2 data type that has one."""


@dataclass(frozen=True, slots=True)
class _Input:
    """An input, for error texts."""

    name: str
    datatype: str

    def error(self, given: str, advice: str = "") -> ConfigurationError:
        advice = f": {advice}" if advice else ""
        return ConfigurationError(f"input {self.name!r} must be {self.datatype}, not {given}{advice}")


def as_array(name: str, datatype: str, value: ArrayLike) -> Array:
    """Return the value as an array of the input's data type; its shape is kept.

    Args:
        name: of the input, for error texts.
        datatype: the KServe v2 data type that the model declares.
        value: see `ArrayLike`.

    Returns:
        An array of the numpy data type; of ``object`` with ``str`` and ``bytes`` for BYTES; of ``uint16`` for
        BF16.

    Raises:
        ConfigurationError: the value does not have the data type; the message says how to convert it.

    Example:
        >>> as_array("ids", "INT32", [1, 2, 3])
        array([1, 2, 3], dtype=int32)
    """
    target = _Input(name, datatype)
    if datatype == "BYTES":
        return _strings(target, value)
    if datatype != "BF16" and datatype not in DTYPES:
        raise ConfigurationError(
            f"input {name!r} is of the data type {datatype}, which this client cannot send"
        )
    if isinstance(value, (str, bytes)):
        raise target.error(f"the {type(value).__name__} {_shorten(value)}")
    plain = _is_plain(value)
    try:
        array: Array = np.asarray(value)
    except (ValueError, TypeError) as error:  # ragged lists; tensors of other devices
        raise target.error(f"a {type(value).__name__} that numpy makes no array of ({error})") from None
    if datatype == "BF16":
        return _bfloat16(target, array, plain=plain)
    wanted = DTYPES[datatype]
    if array.dtype == wanted or array.dtype.newbyteorder("<") == wanted:
        return array.astype(wanted, copy=False)
    if plain:
        return _convert(target, array, wanted)
    raise target.error(f"an array of {array.dtype}", f"convert it with array.astype({wanted.name!r})")


def own_datatype(name: str, value: ArrayLike) -> str:
    """Return the KServe v2 data type that a value has by itself, as numpy takes it.

    Args:
        name: of the input, for error texts.
        value: see `ArrayLike`.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:  # ragged lists; tensors of other devices
        raise ConfigurationError(
            f"input {name!r} must be an array, not a {type(value).__name__} that numpy makes no array of ({error})"
        ) from None
    if array.dtype.kind in "OSU":  # texts; whatever else it is, its elements will say so
        return "BYTES"
    if array.dtype.name == "bfloat16":
        return "BF16"
    wanted = array.dtype.newbyteorder("<")
    for datatype, dtype in DTYPES.items():
        if dtype == wanted and datatype != "BF16":
            return datatype
    raise ConfigurationError(f"input {name!r} must have a data type of the protocol, not {array.dtype}")


def content_of(datatype: str, array: Array) -> bytes | memoryview:
    """Return the raw contents of an array of `as_array`; without a copy where it is numeric and contiguous."""
    if datatype == "BYTES":
        return encode_tensor(datatype, array.ravel().tolist())
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b""


def _is_plain(value: object) -> bool:
    """Return whether a value consists of Python numbers, which have no data type; its first element decides."""
    while isinstance(value, (list, tuple)):
        if not value:
            return True
        value = value[0]
    return isinstance(value, (bool, int, float, range)) and not isinstance(value, np.generic)


def _convert(target: _Input, array: Array, wanted: np.dtype[Any]) -> Array:
    """Convert Python numbers to the model's data type, if all of them fit it."""
    given = f"Python values that numpy reads as {array.dtype}"
    if not array.size:
        return array.astype(wanted)
    numbers = array.dtype.kind in "iu" and wanted.kind in "iuf"
    floats = array.dtype.kind == "f" and wanted.kind == "f"
    if not numbers and not floats:
        raise target.error(given)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(wanted)
        # Python's floats are all double: a caller expects 0.1 to be rounded for FP32, but not 1e300 to become infinite.
        kept = np.isfinite(converted) | ~np.isfinite(array) if floats else _exact(converted, array)
    if not kept.all():
        raise target.error(f"{array[~kept].flat[0].item()!r}, which does not fit")
    return converted


def _exact(converted: Array, array: Array) -> Array:
    """Return where integers kept their values: numpy compares some as doubles, so compare the signs too."""
    kept: Array = (converted.astype(array.dtype) == array) & ((converted < 0) == (array < 0))
    return kept


def _bfloat16(target: _Input, array: Array, *, plain: bool) -> Array:
    if array.dtype.name == "bfloat16":
        return array.view(np.uint16)
    if plain:
        array = _convert(target, array, DTYPES["FP32"])
    elif array.dtype.newbyteorder("<") != DTYPES["FP32"]:
        raise target.error(
            f"an array of {array.dtype}",
            "convert it with array.astype('float32'), which is rounded, or to ml_dtypes.bfloat16",
        )
    array = np.asarray(array, DTYPES["FP32"], order="C")
    bits = array.view(np.uint32)
    # Round to nearest, ties to even. A NaN must stay one: rounding could carry its bits over into infinity.
    # With numpy 1 a number of Python beside an array without dimensions makes a float.
    upper = bits >> np.uint32(16)
    rounded = (bits.astype(np.uint64) + np.uint64(0x7FFF) + (upper & np.uint32(1))) >> np.uint64(16)
    return np.where(np.isnan(array), upper | np.uint32(0x40), rounded).astype("<u2")


def _strings(target: _Input, value: ArrayLike) -> Array:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "OUST":
            raise target.error(f"an array of {value.dtype}", "give str or bytes")
        array = value.astype(object)
    else:
        try:
            array = np.array(value, dtype=object)
        except ValueError as error:
            raise target.error(f"a {type(value).__name__} that numpy makes no array of ({error})") from None
    for item in array.ravel().tolist():
        if not isinstance(item, (str, bytes)):
            raise target.error(f"an array with an element of {type(item).__name__}", "give str or bytes")
        if isinstance(item, str) and not item.isascii():
            try:
                item.encode()
            except UnicodeEncodeError as error:
                raise target.error(f"a text that UTF-8 cannot encode ({error.reason})") from None
    return array


def _shorten(value: str | bytes) -> str:
    return repr(value if len(value) <= 20 else value[:20]) + ("" if len(value) <= 20 else "…")


def decode_outputs(response: Any, text: TextAs) -> dict[str, Array]:
    """Return the outputs of a response as arrays, in the server's order.

    Numeric arrays are read-only views of the response. BF16 becomes float32.

    Args:
        response: a ``ModelInferResponse``.
        text: the Python type of BYTES elements.

    Raises:
        ProtocolError: the contents of an output do not fit its data type and shape.
    """
    return {
        output.name: _decode(output, index, response.raw_output_contents, text)
        for index, output in enumerate(response.outputs)
    }


def text_bytes(response: Any) -> int:
    """Return the size of the BYTES outputs of a ``ModelInferResponse``, whose elements become Python objects one by one."""
    raws = response.raw_output_contents
    return sum(
        len(raws[index]) if index < len(raws) else sum(map(len, output.contents.bytes_contents))
        for index, output in enumerate(response.outputs)
        if output.datatype == "BYTES"
    )


def _decode(output: Any, index: int, raws: Any, text: TextAs) -> Array:
    try:
        shape = _shape(output.shape)
        if index < len(raws):
            return from_raw(output.datatype, shape, raws[index], text)
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
        return _from_strings(decode_bytes_tensor(raw), shape, text)
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


def texts_of(array: Array) -> Array:
    """Return an array of ``bytes`` as one of ``str``.

    Raises:
        ValueError: an element is not UTF-8.
    """
    texts = np.empty(array.shape, dtype=object)
    try:
        texts.ravel()[:] = [item.decode() if isinstance(item, bytes) else item for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise ValueError(f"an element is not UTF-8 ({error.reason}): ask for it with text='bytes'") from None
    return texts
