"""The responses to the requests of one model, checked and decoded; one like an earlier one is recognised by its bytes.

Responses to requests that are alike differ in their id and their numbers only. What stands around those was parsed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nupic_client._core.calls.options import too_long
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.kserve import message_bytes, wire
from nupic_client._core.kserve.arrays import DTYPES
from nupic_client._core.kserve.output_arrays import decode_outputs, text_bytes
from nupic_client._core.kserve.shared_memory import decode_with_places
from nupic_client.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nupic_client._core.inference.request import InferenceRequest
    from nupic_client.shared_memory_places import SharedMemoryTensor

__all__ = ["ResponseReader"]

_MOST_LAYOUTS = 16
_LARGE = 2**17
"""Bytes from which a copy costs more than reading the fields of a message in Python."""


@dataclass(frozen=True, slots=True)
class _Output:
    """An output of a response that was parsed: what stands before its numbers, and how to read them."""

    name: str
    mark: bytes
    dtype: np.dtype[Any]
    count: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Layout:
    """A response that was parsed: its bytes before and behind the id, its outputs, and its result without them."""

    before: bytes
    after: bytes
    id_size: int
    outputs: tuple[_Output, ...]
    result: InferenceResult


class ResponseReader:
    """Read the responses to requests that have the same model and options. Thread-safe.

    Args:
        request: the options.
        model: the server's name of the model.
    """

    __slots__ = ("_layouts", "_model", "_request", "_sizes")

    def __init__(self, request: InferenceRequest, model: str) -> None:
        self._request = request
        self._model = model
        self._layouts: dict[int, _Layout] = {}
        """By the size of the response."""
        self._sizes: set[int] = set()
        """Those that came once: what comes once need not be remembered."""

    def read(self, response: Any, request_id: str, call: Any = None) -> InferenceResult:
        """Return the result of a response.

        Args:
            response: a ``ModelInferResponse``, serialized or not.
            request_id: of the request.
            call: gRPC's object for the call, which knows its metadata.

        Raises:
            ProtocolError: it is no such response, not the answer to this request, or not what was asked for.
        """
        if not isinstance(response, bytes):
            return self._parsed(wire.parse_infer_response(response), request_id, call)
        layout = self._layouts.get(len(response))
        if layout is not None:
            arrays = _read(layout, response, request_id)
            if arrays is not None:
                return layout.result.like(arrays, request_id, call)
        if len(response) >= _LARGE:
            return self._parsed(message_bytes.split_infer_response(response), request_id, call)
        answer = wire.parse_infer_response(response)
        result = self._parsed(answer, request_id, call)
        if layout is None:
            self._learn(response, answer, result)
        return result

    def _parsed(self, answer: Any, request_id: str, call: Any) -> InferenceResult:
        if answer.id and answer.id != request_id:
            raise ProtocolError(f"the server sent an answer to another request, {answer.id!r}")
        return self.decode(answer, request_id, call)

    def decode(self, answer: Any, request_id: str, call: Any = None) -> InferenceResult:
        """Return the result in a ``ModelInferResponse`` whose id was checked.

        Raises:
            ProtocolError: it is too long, lacks an output, or cannot be decoded.
        """
        request = self._request
        limit = request.options.max_output_bytes
        if limit is not None and text_bytes(answer) > limit:
            raise ProtocolError(too_long(limit))
        places: Mapping[str, SharedMemoryTensor] = {}
        if request.places:
            arrays, places = decode_with_places(answer, request.text, request.places)
        else:
            arrays = decode_outputs(answer, request.text)
        # A stream may have responses with nothing but parameters.
        asked = request.outputs if answer.outputs or not request.streamed else ()
        missing = [it.name for it in asked if it.name not in arrays and it.name not in places]
        if missing:
            raise ProtocolError(f"the server did not send the output {', '.join(map(repr, missing))}")
        return InferenceResult(
            arrays,
            model=answer.model_name or self._model,
            version=answer.model_version,
            request_id=answer.id or request_id,
            parameters=wire.parameters_of(answer),
            output_parameters={
                output.name: wire.parameters_of(output) for output in answer.outputs if output.parameters
            },
            places=places,
            call=call,
        )

    def _learn(self, data: bytes, answer: Any, result: InferenceResult) -> None:
        size = len(data)
        if size not in self._sizes:
            if len(self._sizes) >= _MOST_LAYOUTS:
                self._sizes.clear()
            self._sizes.add(size)
            return
        layout = _layout(data, answer, result)
        if layout is not None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            self._layouts[size] = layout


def _read(layout: _Layout, data: bytes, request_id: str) -> dict[str, Any] | None:
    """Return the arrays of a response, or None if it differs from the layout."""
    identity = request_id.encode() if layout.id_size else b""
    head = layout.before + identity + layout.after
    if len(identity) != layout.id_size or not data.startswith(head):
        return None
    position = len(head)
    arrays: dict[str, Any] = {}
    for output in layout.outputs:
        if not data.startswith(output.mark, position):
            return None
        position += len(output.mark)
        dtype, count = output.dtype, output.count
        if position % dtype.itemsize:
            # An array in the middle of a word is slow, and some libraries refuse it.
            array = np.frombuffer(data[position : position + count * dtype.itemsize], dtype)
        else:
            array = np.frombuffer(data, dtype, count, position)
        arrays[output.name] = array.reshape(output.shape)
        position += count * dtype.itemsize
    return arrays


def _layout(data: bytes, answer: Any, result: InferenceResult) -> _Layout | None:
    """Return the layout of a response, or None for one whose like must be parsed each time."""
    raws = answer.raw_output_contents
    if (
        not raws
        or len(raws) != len(answer.outputs)
        or len({output.name for output in answer.outputs}) != len(raws)
    ):
        return None
    marks = message_bytes.raw_output_marks(map(len, raws))
    head = data[: len(data) - sum(len(mark) + len(raw) for mark, raw in zip(marks, raws, strict=True))]
    outputs = []
    for described, mark, raw in zip(answer.outputs, marks, raws, strict=True):
        dtype = None if described.datatype == "BF16" else DTYPES.get(described.datatype)
        if dtype is None or described.HasField("contents"):
            return None
        shape = tuple(described.shape)
        outputs.append(_Output(described.name, mark, dtype, len(raw) // dtype.itemsize, shape))
    described_alone = wire.pb.ModelInferResponse()
    described_alone.CopyFrom(answer)
    described_alone.ClearField("raw_output_contents")
    try:
        # The contents must be all that stands behind the head, whatever else a server may write between.
        if wire.parse_infer_response(head) != described_alone:
            return None
    except ProtocolError:
        return None
    identity = message_bytes.id_field(answer.id)
    if identity and head.count(identity) != 1:
        return None
    before, _, after = head.partition(identity) if identity else (head, b"", b"")
    size = len(answer.id.encode())
    mark = identity[: len(identity) - size]
    return _Layout(before + mark, after, size, tuple(outputs), result.like({}, "", None))
