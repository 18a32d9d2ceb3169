"""Values as arrays of a KServe v2 data type, and arrays to the contents of tensors.

Laws:

1. Nothing is converted behind the caller's back. An array must have the model's data type. Plain Python values and whole
   numbers of numpy have none of their own, so they take the model's where they fit it.
2. Contents are little-endian and row-major, a BYTES element is a u32 length and the bytes. See
   https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
3. A numeric array is copied once on its way out, into the message that is sent.

numpy has no bfloat16. BF16 is sent from a ``ml_dtypes.bfloat16`` array as it is, or from a float32 array rounded to the
nearest (ties to even).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nupic_client._arrays import Array, ArrayLike
from nupic_client._core.kserve.codec import encode_tensor
from nupic_client._datatypes import DATATYPES
from nupic_client._numbers import as_integer
from nupic_client.errors import ConfigurationError

__all__ = [
    "DTYPES",
    "as_array",
    "content_of",
    "own_datatype",
]

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

    def unreadable(self, value: object, error: Exception) -> ConfigurationError:
        return self.error(f"a {type(value).__name__} that numpy makes no array of ({str(error)[:200]})")


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
    if datatype not in DATATYPES:
        raise ConfigurationError(
            f"input {name!r} is of the data type {datatype}, which this client cannot send"
        )
    if _is_masked(value):
        raise target.error(
            "a masked array", "give array.filled(value), which says what is sent in the masked places"
        )
    if datatype == "BYTES":
        return _strings(target, value)
    if isinstance(value, (str, bytes)):
        raise target.error(f"the {type(value).__name__} {_shorten(value)}")
    plain = _is_plain(value)
    array = _read(target, value)
    if datatype == "BF16":
        return _bfloat16(target, array, value if plain else None)
    wanted = DTYPES[datatype]
    if plain and array.dtype.kind == "f":
        return _convert(target, array, value, wanted)
    if array.dtype == wanted or _is_like(array.dtype, wanted):
        return array.astype(wanted, copy=False)
    if plain:
        return _convert(target, array, value, wanted)
    raise target.error(f"an array of {array.dtype}", f"convert it with array.astype({wanted.name!r})")


def own_datatype(name: str, value: ArrayLike) -> str:
    """Return the KServe v2 data type that a value has by itself, as numpy takes it.

    Args:
        name: of the input, for error texts.
        value: see `ArrayLike`.

    Raises:
        ConfigurationError: there is none.
    """
    array = _read(_Input(name, "an array"), _with_bytes(value))
    if array.dtype.kind in "OSUT":  # texts; whatever else it is, its elements will say so
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


def _is_masked(value: object) -> bool:
    """Return whether a value is or contains an array with a mask, which numpy would ignore."""
    masked = sys.modules.get("numpy.ma")  # its import takes a while, and without it there are none
    if masked is None:
        return False
    if isinstance(value, (list, tuple)):
        return any(
            _is_masked(item) for item in value if not isinstance(item, (int, float, str, bytes, np.generic))
        )
    return isinstance(value, masked.MaskedArray)


def _is_plain(value: object) -> bool:
    """Return whether a value consists of numbers that have no data type; its first element decides."""
    while isinstance(value, (list, tuple)):
        if not value:
            return True
        value = value[0]
    if isinstance(value, np.generic):
        return isinstance(value, np.integer)
    return isinstance(value, (bool, int, float, range))


def _is_like(dtype: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Return whether a data type is the wanted one, whatever its byte order: numpy's strings raise where they are asked."""
    return dtype.kind == wanted.kind and dtype.newbyteorder("<") == wanted


def _read(target: _Input, value: object) -> Array:
    """Return what numpy makes of a value."""
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except Exception as error:  # noqa: BLE001  # ragged lists, tensors of other devices: whatever their own methods raise
        raise target.unreadable(value, error) from None


def _convert(target: _Input, array: Array, value: object, wanted: np.dtype[Any]) -> Array:
    """Convert Python numbers to the model's data type, if all of them fit it.

    Args:
        target: the input.
        array: what numpy makes of the value.
        value: the numbers.
        wanted: the model's data type.
    """
    if not array.size:
        return array.astype(wanted)
    whole = _whole_numbers(array, value, wanted)
    if whole is not None:
        converted = np.empty(whole.shape, wanted)
        for index, number in np.ndenumerate(whole):
            if not _put(converted, index, number):
                raise target.error(
                    f"Python values that numpy reads as {array.dtype}", f"{number} does not fit"
                )
        return converted
    numbers = array.dtype.kind in "iu" and wanted.kind in "iuf"
    floats = array.dtype.kind == "f" and wanted.kind == "f"
    if not numbers and not floats:
        raise target.error(f"Python values that numpy reads as {array.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(wanted)
        # Python's floats are all double: a caller expects 0.1 to be rounded for FP32, but not 1e300 to become infinite.
        kept = np.isfinite(converted) | ~np.isfinite(array) if floats else _exact(converted, array)
    if not kept.all():
        raise target.error(f"{array[~kept].flat[0].item()!r}, which does not fit")
    return converted


def _whole_numbers(array: Array, value: object, wanted: np.dtype[Any]) -> Array | None:
    """Return whole numbers as an array of ``int`` where numpy chose a data type that cannot hold them, else None.

    It takes 2**64 for an object, and 2**63 beside 1 for floats.
    """
    if wanted.kind not in "iuf" or array.dtype.kind not in "fO":
        return None
    if array.dtype.kind == "f" and wanted.kind == "f" and not (np.abs(array) >= 2.0**63).any():
        return None
    numbers = np.array(value, dtype=object)
    flat = [as_integer(item) for item in numbers.ravel().tolist()]
    if numbers.shape != array.shape or None in flat:
        return None
    whole = np.empty(len(flat), dtype=object)
    whole[:] = flat
    return whole.reshape(array.shape)


def _put(array: Array, index: tuple[int, ...], number: int) -> bool:
    """Put a whole number into an array; return whether it can hold it."""
    if array.dtype.kind in "iu":
        # Asked first: numpy 1 wraps a number that does not fit around, numpy 2 raises.
        limits = np.iinfo(array.dtype)
        if not limits.min <= number <= limits.max:
            return False
        array[index] = number
        return True
    try:
        with np.errstate(over="ignore"):
            array[index] = float(number)
        return int(array[index]) == number
    except OverflowError:  # too large for a float, or infinite
        return False


def _exact(converted: Array, array: Array) -> Array:
    """Return where integers kept their values: numpy compares some as doubles, so compare the signs too."""
    kept: Array = (converted.astype(array.dtype) == array) & ((converted < 0) == (array < 0))
    return kept


def _bfloat16(target: _Input, array: Array, numbers: object) -> Array:
    """Return the bits of BF16.

    Args:
        target: the input.
        array: the array.
        numbers: the Python numbers that it was made of; None for an array that the caller gave.
    """
    if array.dtype.name == "bfloat16":
        return array.view(np.uint16)
    if numbers is not None:
        array = _convert(target, array, numbers, DTYPES["FP32"])
    elif not _is_like(array.dtype, DTYPES["FP32"]):
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
        array = _read_strings(target, value)
    views = False
    for item in array.ravel().tolist():
        if isinstance(item, str):
            if not item.isascii():
                _check_unicode(target, item)
        elif isinstance(item, (bytearray, memoryview)):
            views = True
        elif not isinstance(item, bytes):
            raise target.error(f"an array with an element of {type(item).__name__}", "give str or bytes")
    if views:
        for index, item in np.ndenumerate(array):
            array[index] = _with_bytes(item)
    return array


def _check_unicode(target: _Input, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise target.error(f"a text that UTF-8 cannot encode ({error.reason})") from None


def _read_strings(target: _Input, value: object) -> Array:
    try:
        return np.array(_with_bytes(value), dtype=object)
    except Exception as error:  # noqa: BLE001  # as for `_read`
        raise target.unreadable(value, error) from None


def _with_bytes(value: object) -> object:
    """Return a value with ``bytes`` in place of what numpy would take for a list of numbers."""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return [
            _with_bytes(item) if isinstance(item, (list, tuple, bytearray, memoryview)) else item
            for item in value
        ]
    return value


def _shorten(value: str | bytes) -> str:
    return repr(value if len(value) <= 20 else value[:20]) + ("" if len(value) <= 20 else "…")
