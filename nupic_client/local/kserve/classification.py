"""The classification extension: the highest numbers of an output as texts ``value:index[:label]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client._core.kserve.codec import decode_numbers, encode_tensor
from nupic_client.local.kserve.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client.signature import TensorValue

__all__ = ["classify"]

_FLOATS = frozenset({"FP32", "FP64"})
_INTEGERS = frozenset(f"{sign}INT{size}" for sign in ("", "U") for size in (8, 16, 32, 64))


def classify(
    datatype: str, rows: Sequence[Sequence[TensorValue]], count: int, labels: Sequence[str] = ()
) -> tuple[int, list[TensorValue]]:
    """Return the number of classes in each row, and the classes of all rows, the highest value of a row first.

    Args:
        datatype: the data type of the numbers.
        rows: the numbers of each element of the batch.
        count: the classes to return of each row.
        labels: the names of the classes; without a name it has its index only.

    Raises:
        StatusError: the numbers are of a type that the real server does not classify.
    """
    if datatype not in _FLOATS | _INTEGERS:
        # For BYTES the real server does not say so: Triton 2.51 crashes.
        raise StatusError(
            "INVALID_ARGUMENT",
            f"class result not available for output due to unsupported type '{datatype}'",
            reached_model=True,
        )
    found: list[TensorValue] = []
    most = 0
    for row in rows:
        numbers = decode_numbers(datatype, encode_tensor(datatype, row))  # as precise as the output would be
        best = sorted(range(len(row)), key=numbers.__getitem__, reverse=True)[:count]
        most = len(best)
        found += [_class(numbers[index], index, labels, decimals=datatype in _FLOATS) for index in best]
    return most, found


def _class(value: float, index: int, labels: Sequence[str], *, decimals: bool) -> str:
    number = f"{value:f}" if decimals else str(value)
    label = labels[index] if index < len(labels) else ""
    return f"{number}:{index}:{label}" if label else f"{number}:{index}"
