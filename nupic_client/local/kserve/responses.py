"""Turn chunks of an answer into response messages like the real server's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor
from nupic_client.local.kserve.classification import classify
from nupic_client.local.kserve.outputs import ChunkOutputs
from nupic_client.local.kserve.parameters import place_of
from nupic_client.local.kserve.versions import check_version
from nupic_client.signature import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nupic_client.local.engine import Chunk, EngineRequest, ServedModel
    from nupic_client.signature import TensorValue

__all__ = ["ResponseWriter"]


class ResponseWriter:
    """Write the responses to one request. Not thread-safe: each request has one thread.

    Args:
        model: the requested model; None if it does not exist.
        request: the request.
    """

    marks_end = True
    """Whether the end of an answer may be marked by an empty response."""

    def __init__(self, model: ServedModel | None, request: EngineRequest) -> None:
        self._model = model
        self._request = request
        self._version = model.versions[-1] if model else ""
        self._marked = request.method == "ModelStreamInfer"
        self._outputs = ChunkOutputs(model.text_output if model else "text_output", request)
        self.classes: Mapping[str, int] = {}
        """The number of classes of each output that is wanted as a classification."""
        self._write: Callable[[Any, bytes], None] | None = None
        self._places: dict[str, Any] = {}
        self.finished: bool = False
        """Whether a response with the final mark was written."""

    def write_to_memory(self, write: Callable[[Any, bytes], None], outputs: Iterable[Any]) -> None:
        """Write those of the requested outputs that have a place in shared memory to it."""
        self._write = write
        self._places = {output.name: output for output in outputs if place_of(output) is not None}

    def content(self, chunk: Chunk) -> Any:
        """Return the ModelInferResponse of a chunk, or None if there is nothing to send."""
        outputs = self._outputs.of(chunk)
        if not outputs:
            return None
        response = self._response(final=chunk.final)
        response.model_version = check_version(self._request.version) or self._version
        for name, values in outputs.items():
            self._add(response, name, values)
        return response

    def final(self) -> Any:
        """Return the empty ModelInferResponse with the final mark."""
        return self._response(final=True)

    def error(self, message: str, *, reached_model: bool = True) -> Any:
        """Return the ModelStreamInferResponse that carries an error.

        Only a request that reached its model has the model's name and the final mark in it.
        """
        self.finished = True
        if reached_model:
            return wire.pb.ModelStreamInferResponse(
                error_message=message, infer_response=self._response(final=True)
            )
        return wire.pb.ModelStreamInferResponse(
            error_message=message, infer_response=wire.pb.ModelInferResponse(id=self._request.request_id)
        )

    def _add(self, response: Any, name: str, values: Sequence[TensorValue]) -> None:
        spec = self._spec(name)
        shape, datatype = self._shape(spec, len(values)), spec.datatype
        if name in self.classes:
            rows = shape[0] if self._model and self._model.signature.max_batch_size else None
            width = len(values) // (rows or 1)
            count, values = classify(
                datatype,
                [values[start : start + width] for start in range(0, len(values), width or 1)],
                self.classes[name],
                self._model.labels.get(name, ()) if self._model else (),
            )
            shape, datatype = [count] if rows is None else [rows, count], "BYTES"
        response.outputs.add(name=name, datatype=datatype, shape=shape)
        content = encode_tensor(datatype, values)
        if self._write is not None and name in self._places:
            self._write(self._places[name], content)
            content = b""
        response.raw_output_contents.append(content)

    def _response(self, *, final: bool) -> Any:
        # Without content the version is the requested one, usually an empty one.
        response = wire.pb.ModelInferResponse(
            model_name=self._request.model, model_version=self._request.version, id=self._request.request_id
        )
        if self._marked:
            response.parameters[wire.FINAL_PARAMETER].bool_param = final
        self.finished = self.finished or final
        return response

    def _spec(self, name: str) -> TensorSpec:
        declared = self._model.signature.outputs.get(name) if self._model else None
        return declared or TensorSpec(name, "BYTES")

    def _shape(self, spec: TensorSpec, count: int) -> list[int]:
        """Return the shape of ``count`` elements: the last open dimension takes them, others are 1."""
        known = math.prod(size for size in spec.shape if size != -1)
        shape = [1 if size == -1 else size for size in spec.shape]
        if -1 in spec.shape:
            shape[len(shape) - 1 - spec.shape[::-1].index(-1)] = count // known
        if self._model and self._model.signature.max_batch_size and self._model.batch_dimension:
            return [1 if -1 in spec.shape else count // known, *shape]
        return shape
