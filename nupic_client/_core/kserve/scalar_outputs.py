"""The outputs of a response to a text request as plain values, without numpy.

The data type in the response counts, not the one that the model declared: TensorRT-LLM's LLM-API declares numbers and
sends text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nupic_client._core.kserve.codec import (
    decode_bytes_tensor,
    decode_numbers,
    is_numeric,
    raw_contents,
    typed_elements,
)
from nupic_client.errors import ProtocolError

__all__ = ["ScalarOutputs"]

_INDEXES = ("sequence_index", "batch_index")
"""Outputs of TensorRT-LLM that say which of several answers a response belongs to."""
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
        raws = answer.raw_output_contents
        self._raws: Sequence[bytes | None] = (
            raws if len(raws) == len(answer.outputs) else raw_contents(answer)
        )
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
        raw = self._raws[index]
        if raw is not None:
            length = len(raw) - 4
            if length >= 0 and int.from_bytes(raw[:4], "little") == length:
                return raw[4:]  # one element, as nearly always
            try:
                elements = decode_bytes_tensor(raw)
            except ValueError as error:
                raise self.error(f"output {name!r}: {error}") from None
        else:
            elements = list(output.contents.bytes_contents)
            if not elements and any(other is not None for other in self._raws):
                raise self.error(f"output {name!r} has no contents, although other outputs have raw contents")
        if len(elements) > 1:
            raise self.several(f"output {name!r} must have one element, not {len(elements)}")
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

    def check_single(self, seen: dict[str, tuple[int | float, ...]]) -> None:
        """Check that the response belongs to the same answer as those before.

        Args:
            seen: the index of the answer in each response so far; is updated.

        Raises:
            ProtocolError: it belongs to another sequence, beam or item of a batch.
        """
        for name in _INDEXES:
            found = self._outputs.get(name)
            if found is None or not is_numeric(found[1].datatype):
                continue
            numbers = self._numbers(*found)
            if len({*numbers, *seen.setdefault(name, numbers)}) > 1:
                before = ", ".join(map(str, seen[name]))
                raise self.several(
                    f"output {name!r} must be {before} in the whole answer, not {', '.join(map(str, numbers))}"
                )

    def row(self, name: str) -> tuple[int | float, ...]:
        """Return the elements of a numeric output that is one row; none where the response does not have it.

        Raises:
            ProtocolError: the output is not numeric, or has several rows, as the one for each beam.
        """
        numbers = self.numbers(name)
        shape = [*self._outputs[name][1].shape] if numbers else []
        if math.prod(shape[:-1]) > 1 and math.prod(shape) == len(numbers):
            raise self.several(f"output {name!r} must be one row, not of the shape {shape}")
        return numbers

    def several(self, message: str) -> ProtocolError:
        """Return the error for a response with more than one answer."""
        return self.error(
            f"{message}: the server sent several answers (sequences, beams or a batch), although the request asked for one."
            " Set n, best_of, beam_width or num_return_sequences to 1 where the model is set up"
        )

    def error(self, message: str) -> ProtocolError:
        """Return the error for an output that breaks the protocol, with the id of the response."""
        return ProtocolError(message, request_id=self._request_id)

    def _numbers(self, index: int, output: Any) -> tuple[int | float, ...]:
        raw = self._raws[index]
        if raw is not None:
            return decode_numbers(output.datatype, raw)
        return tuple(typed_elements(output) or ())
