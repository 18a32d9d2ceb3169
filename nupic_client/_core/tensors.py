"""Arrays to the contents of tensors and back: KServe v2 data types as numpy sees them.

Laws:

1. Nothing is converted behind the caller's back. An array must have the model's data type. Plain Python
values have no
   data type of their own, so they take the model's where they fit it.
2. Contents are little-endian and row-major, a BYTES element is a u32 length and the bytes. See
   https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
3. A numeric array is copied once on its way out, into the message that is sent, and not at all on its way in:
what is
   decoded is a read-only view of the response.

numpy has no bfloat16. BF16 goes out from a ``ml_dtypes.bfloat16`` array as it is, or from a float32 array
rounded to the nearest (ties to even), and comes in as float32, which holds every BF16 value exactly.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from nupic_client._core.elements import decode_bytes_tensor
from nupic_client.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Array",
    "ArrayLike",
    "TextAs",
    "as_array",
    "content_of",
    "decode_outputs",
    "from_raw",
    "text_bytes",
    "texts_of",
]

Array: TypeAlias = "NDArray[Any]"
"""A numpy array of any data type."""
ArrayLike: TypeAlias = Any
"""A numpy array, what numpy makes one of (such as a torch tensor on the CPU), or plain Python values."""
TextAs: TypeAlias = Literal["str", "bytes"]
"""What the elements of a BYTES output become."""

DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype("?"),
        "INT8": np.dtype("i1"),
        "INT16": np.dtype("<i2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "UINT8": np.dtype("u1"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
        "FP16": np.dtype("<f2"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
    }
)
"""The numpy data type of each KServe v2 data type that has one of its own."""

_CONTENTS = MappingProxyType(
    {
        "BOOL": "bool_contents",
        "INT8": "int_contents",
        "INT16": "int_contents",
        "INT32": "int_contents",
        "INT64": "int64_contents",
        "UINT8": "uint_contents",
        "UINT16": "uint_contents",
        "UINT32": "uint_contents",
        "UINT64": "uint64_contents",
        "FP32": "fp32_contents",
        "FP64": "fp64_contents",
        "BYTES": "bytes_contents",
    }
)


@dataclass(frozen=True, slots=True)
class _Where:
    """Names the input in error texts."""

    name: str
    datatype: str

    def wrong(self, given: str, todo: str = "") -> ConfigurationError:
        hint = f": {todo}" if todo else ""
        return ConfigurationError(f"input {self.name!r}: expected {self.datatype}, given {given}{hint}")


def as_array(name: str, datatype: str, value: ArrayLike) -> Array:
    """Return the value as an array of the input's data type; its shape stays what it is.

    Args:
        name: of the input, for error texts.
        datatype: the KServe v2 data type that the model declares.
        value: see `ArrayLike`.

    Returns:
        An array of the numpy data type; of ``object`` with ``str`` and ``bytes`` for BYTES; of ``uint16`` for
        BF16.

    Raises:
        ConfigurationError: the value is not of the data type; says what was expected, what was given and what
            to write.

    Example:
        >>> as_array("ids", "INT32", [1, 2, 3])
        array([1, 2, 3], dtype=int32)
    """
    where = _Where(name, datatype)
    if datatype == "BYTES":
        return _strings(where, value)
    if datatype != "BF16" and datatype not in DTYPES:
        raise ConfigurationError(
            f"input {name!r} is of the data type {datatype}, which this client cannot send"
        )
    if isinstance(value, (str, bytes)):
        raise where.wrong(f"the {type(value).__name__} {_shorten(value)}")
    plain = _is_plain(value)
    try:
        array: Array = np.asarray(value)
    except (ValueError, TypeError) as error:  # ragged lists; tensors of other devices
        raise where.wrong(f"a {type(value).__name__} that is not an array: {error}") from None
    if datatype == "BF16":
        return _bfloat16(where, array, plain=plain)
    wanted = DTYPES[datatype]
    if array.dtype == wanted or array.dtype.newbyteorder("<") == wanted:
        return array.astype(wanted, copy=False)
    if plain:
        return _convert(where, array, wanted)
    raise where.wrong(f"an array of {array.dtype}", f"convert it with array.astype({wanted.name!r})")


def content_of(datatype: str, array: Array) -> bytes | memoryview:
    """Return the raw contents of what `as_array` made; without a copy where it is numeric and contiguous."""
    if datatype == "BYTES":
        pieces: list[bytes] = []
        for item in array.ravel().tolist():
            data = item if isinstance(item, bytes) else item.encode()
            pieces.append(struct.pack("<I", len(data)))
            pieces.append(data)
        return b"".join(pieces)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b""


def _is_plain(value: object) -> bool:
    """Return whether a value is of plain Python numbers, without a data type; its first element tells."""
    while isinstance(value, (list, tuple)):
        if not value:
            return True
        value = value[0]
    return isinstance(value, (bool, int, float, range)) and not isinstance(value, np.generic)


def _convert(where: _Where, array: Array, wanted: np.dtype[Any]) -> Array:
    """Give plain Python numbers the model's data type, if that keeps them."""
    given = f"Python values that numpy takes as {array.dtype}"
    if not array.size:
        return array.astype(wanted)
    numbers = array.dtype.kind in "iu" and wanted.kind in "iuf"
    floats = array.dtype.kind == "f" and wanted.kind == "f"
    if not numbers and not floats:
        raise where.wrong(given)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(wanted)
        # Python's floats are all double: one that is not exact in FP32 is what everybody means, one that becomes
        # infinite is not.
        kept = np.isfinite(converted) | ~np.isfinite(array) if floats else _exact(converted, array)
    if not kept.all():
        raise where.wrong(f"the value {array[~kept].flat[0].item()!r}, which does not fit")
    return converted


def _exact(converted: Array, array: Array) -> Array:
    """Return where integers survived: numpy compares some as doubles, so look at the sign too."""
    kept: Array = (converted.astype(array.dtype) == array) & ((converted < 0) == (array < 0))
    return kept


def _bfloat16(where: _Where, array: Array, *, plain: bool) -> Array:
    if array.dtype.name == "bfloat16":
        return array.view(np.uint16)
    if plain:
        array = _convert(where, array, DTYPES["FP32"])
    elif array.dtype.newbyteorder("<") != DTYPES["FP32"]:
        raise where.wrong(
            f"an array of {array.dtype}",
            "give float32, which is rounded, or ml_dtypes.bfloat16; convert it with array.astype('float32')",
        )
    array = np.asarray(array, DTYPES["FP32"], order="C")
    bits = array.view(np.uint32)
    # Round to nearest, ties to even. A NaN must stay one: rounding could carry its bits over into infinity.
    # With numpy 1 a number of Python beside an array without dimensions makes a float.
    upper = bits >> np.uint32(16)
    rounded = (bits.astype(np.uint64) + np.uint64(0x7FFF) + (upper & np.uint32(1))) >> np.uint64(16)
    return np.where(np.isnan(array), upper | np.uint32(0x40), rounded).astype("<u2")


def _strings(where: _Where, value: ArrayLike) -> Array:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "OUST":
            raise where.wrong(f"an array of {value.dtype}", "give str or bytes")
        array = value.astype(object)
    else:
        try:
            array = np.array(value, dtype=object)
        except ValueError as error:
            raise where.wrong(f"a {type(value).__name__} that is not an array: {error}") from None
    for item in array.ravel().tolist():
        if not isinstance(item, (str, bytes)):
            raise where.wrong(f"an element of {type(item).__name__}", "give str or bytes")
        if isinstance(item, str) and not item.isascii():
            try:
                item.encode()
            except UnicodeEncodeError as error:
                raise where.wrong(f"a text that UTF-8 cannot encode ({error.reason})") from None
    return array


def _shorten(value: str | bytes) -> str:
    return repr(value if len(value) <= 20 else value[:20]) + ("" if len(value) <= 20 else "…")


def decode_outputs(response: Any, text: TextAs) -> dict[str, Array]:
    """Return the outputs of a response as arrays, in the server's order.

    Numeric arrays are read-only views of the response. BF16 becomes float32.

    Args:
        response: a ``ModelInferResponse``.
        text: what BYTES elements become.

    Raises:
        ProtocolError: an output is not what it says it is.
    """
    return {
        output.name: _decode(output, index, response.raw_output_contents, text)
        for index, output in enumerate(response.outputs)
    }


def text_bytes(response: Any) -> int:
    """Return how large the BYTES outputs of a ``ModelInferResponse`` are, which become objects of Python one by one."""
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
        raise ProtocolError(f"output {output.name!r} is broken: {error}") from None


def _shape(dims: Iterable[int]) -> tuple[int, ...]:
    shape = tuple(dims)
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape is {list(shape)}")
    return shape


def from_raw(datatype: str, shape: tuple[int, ...], raw: bytes, text: TextAs) -> Array:
    """Return the array that raw contents stand for; arguments as `decode_outputs`.

    Raises:
        ValueError: the contents do not fit the data type and shape.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _from_strings(decode_bytes_tensor(raw), shape, text)
    dtype = np.dtype("<u2") if datatype == "BF16" else DTYPES.get(datatype)
    if dtype is None:
        raise ValueError(f"its data type {datatype!r} is not one this client knows")
    if len(raw) != count * dtype.itemsize:
        raise ValueError(
            f"{datatype} of the shape {list(shape)} takes {count * dtype.itemsize} bytes, {len(raw)} came"
        )
    array: Array = np.frombuffer(raw, dtype).reshape(shape)
    if datatype == "BF16":
        return (array.astype("<u4") << np.uint32(16)).view("<f4")
    return array


def _from_values(output: Any, shape: tuple[int, ...], text: TextAs) -> Array:
    """Read typed contents: Triton sends raw ones, other servers of the protocol may send these."""
    field = _CONTENTS.get(output.datatype)
    if field is None:
        raise ValueError(f"its data type {output.datatype!r} needs raw contents, and there are none")
    values = getattr(output.contents, field)
    if output.datatype == "BYTES":
        return _from_strings(list(values), shape, text)
    if len(values) != math.prod(shape):
        raise ValueError(f"the shape {list(shape)} takes {math.prod(shape)} elements, {len(values)} came")
    return np.array(values, DTYPES[output.datatype]).reshape(shape)


def _from_strings(elements: list[bytes], shape: tuple[int, ...], text: TextAs) -> Array:
    if len(elements) != math.prod(shape):
        raise ValueError(f"the shape {list(shape)} takes {math.prod(shape)} elements, {len(elements)} came")
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
