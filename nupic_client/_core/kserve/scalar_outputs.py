"""The outputs of a response to a text request as plain values, without numpy.

The data type in the response counts, not the one that the model declared: TensorRT-LLM's LLM-API declares numbers and
sends text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nupic_client._core.kserve.codec import decode_bytes_tensor, decode_numbers, is_numeric, typed_elements
from nupic_client.errors import ProtocolError

__all__ = ["ScalarOutputs"]

_MAX_COUNT_DIGITS = 20
"""Digits of the greatest number of 64 bits."""


class ScalarOutputs:
    """The outputs of one response by name; of two with the same name the first.

    Args:
        answer: a ``ModelInferResponse``.
    """

    __slots__ = ("_outputs", "_raws", "_request_id")

    def __init__(self, answer: Any) -> None:
        self._request_id: str = answer.id
        self._raws: Sequence[bytes] = answer.raw_output_contents
        self._outputs: dict[str, tuple[int, Any]] = {}
        for found in enumerate(answer.outputs):
            self._outputs.setdefault(found[1].name, found)

    def index(self, name: str) -> int | None:
        """Return the position of an output in the response; None where the response does not have it."""
        found = self._outputs.get(name)
        return None if found is None else found[0]

    def datatype(self, name: str) -> str | None:
        """Return the data type of an output; None where the response does not have it."""
        found = self._outputs.get(name)
        return None if found is None else found[1].datatype

    def text(self, name: str) -> bytes | None:
        """Return the one element of a BYTES output; None where the response does not have it or it is empty.

        Raises:
            ProtocolError: the output has another data type, cannot be decoded, or has more than one element.
        """
        found = self._outputs.get(name)
        if found is None:
            return None
        index, output = found
        if output.datatype != "BYTES":
            raise self.error(f"output {name!r} must be BYTES, not {output.datatype}")
        if index < len(self._raws):
            raw = self._raws[index]
            length = len(raw) - 4
            if length >= 0 and int.from_bytes(raw[:4], "little") == length:
                return raw[4:]  # one element, as nearly always
            try:
                elements = decode_bytes_tensor(raw)
            except ValueError as error:
                raise self.error(f"output {name!r}: {error}") from None
        elif self._raws:
            raise self.error(f"output {name!r} has no contents, although other outputs have raw contents")
        else:
            elements = list(output.contents.bytes_contents)
        if len(elements) > 1:
            raise self.error(f"output {name!r} must have one element, not {len(elements)}")
        return elements[0] if elements else None

    def count(self, name: str) -> int | None:
        """Return the first element of an output that counts something; None where it is missing or no count."""
        found = self._outputs.get(name)
        if found is None:
            return None
        if found[1].datatype == "BYTES":
            text = self.text(name) or b""
            return int(text) if text.isdigit() and len(text) <= _MAX_COUNT_DIGITS else None
        numbers = self._numbers(*found)
        value = numbers[0] if numbers else None
        # NaN, infinity, a half or -1 is no count: unknown is better than wrong.
        return value if isinstance(value, int) and value >= 0 else None

    def numbers(self, name: str) -> tuple[int | float, ...]:
        """Return the elements of a numeric output in row-major order; none where the response does not have it.

        Raises:
            ProtocolError: the output is not numeric.
        """
        found = self._outputs.get(name)
        if found is None:
            return ()
        datatype = found[1].datatype
        if not is_numeric(datatype):
            raise self.error(f"output {name!r} must hold numbers, not {datatype}")
        return self._numbers(*found)

    def error(self, message: str) -> ProtocolError:
        """Return the error for an output that breaks the protocol, with the id of the response."""
        return ProtocolError(message, request_id=self._request_id)

    def _numbers(self, index: int, output: Any) -> tuple[int | float, ...]:
        if index < len(self._raws):
            return decode_numbers(output.datatype, self._raws[index])
        return tuple(typed_elements(output) or ())
