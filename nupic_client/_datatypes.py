"""The data types of KServe v2, one table for all who encode, decode or check tensors.

Spec: https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/required_api.md#tensor-data-types
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DATATYPES", "DataType", "config_name", "from_config_name"]


@dataclass(frozen=True, slots=True)
class DataType:
    """One data type.

    Args:
        name: in requests, responses and model metadata.
        size: bytes of one element in raw contents; 0 for BYTES, whose elements state their lengths.
        struct_code: format character of the module ``struct``; empty where there is none.
        numpy_name: of numpy's data type; empty where numpy has none.
        contents: the field of ``InferTensorContents`` that holds the elements; empty where only raw contents can.
        kinds: Python types of an element; none for BF16, which only numpy arrays can hold.
    """

    name: str
    size: int
    struct_code: str
    numpy_name: str
    contents: str
    kinds: tuple[type, ...]

    @property
    def is_float(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.name.startswith(("FP", "BF"))


_INTEGER = (int,)
_REAL = (int, float)

DATATYPES: Mapping[str, DataType] = {
    row.name: row
    for row in (
        DataType("BOOL", 1, "?", "bool", "bool_contents", (bool,)),
        DataType("INT8", 1, "b", "int8", "int_contents", _INTEGER),
        DataType("INT16", 2, "h", "int16", "int_contents", _INTEGER),
        DataType("INT32", 4, "i", "int32", "int_contents", _INTEGER),
        DataType("INT64", 8, "q", "int64", "int64_contents", _INTEGER),
        DataType("UINT8", 1, "B", "uint8", "uint_contents", _INTEGER),
        DataType("UINT16", 2, "H", "uint16", "uint_contents", _INTEGER),
        DataType("UINT32", 4, "I", "uint32", "uint_contents", _INTEGER),
        DataType("UINT64", 8, "Q", "uint64", "uint64_contents", _INTEGER),
        DataType("FP16", 2, "e", "float16", "", _REAL),
        DataType("BF16", 2, "", "", "", ()),
        DataType("FP32", 4, "f", "float32", "fp32_contents", _REAL),
        DataType("FP64", 8, "d", "float64", "fp64_contents", _REAL),
        DataType("BYTES", 0, "", "", "bytes_contents", (str, bytes)),
    )
}
"""Every data type by its name."""


def config_name(datatype: str) -> str:
    """Return the name of a data type in a model configuration, which calls BYTES a string.

    Example:
        >>> config_name("FP32"), config_name("BYTES")
        ('TYPE_FP32', 'TYPE_STRING')
    """
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def from_config_name(name: str) -> str:
    """Return the data type of a name in a model configuration; the inverse of `config_name`."""
    return "BYTES" if name == "TYPE_STRING" else name.removeprefix("TYPE_")
