"""From pieces of an answer to response messages, as the real server writes them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nupic_client._core import wire
from nupic_client.backends.signature import TensorSpec, TensorValue
from nupic_client.local.engine import EngineRequest, Piece, ServedModel
from nupic_client.local.requests import check_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["ResponseWriter", "joined"]


class ResponseWriter:
    """Write the responses to one request. Not thread-safe: one request is answered by one thread.

    Args:
        model: the model that answers; None if the request names none that exists.
        request: the request.
    """

    def __init__(self, model: ServedModel | None, request: EngineRequest) -> None:
        self._model = model
        self._request = request
        self._version = model.versions[-1] if model else ""
        self._marked = request.method == "ModelStreamInfer"
        switches = request.inputs
        self._reports = tuple(
            name
            for name in ("finish_reason", "num_input_tokens", "num_output_tokens")
            if switches.get(f"return_{name}") is True
        )
        self._input_tokens = 0
        self.finished = False
        """Whether a response with the final mark was written."""

    def content(self, piece: Piece) -> Any:
        """Return the ModelInferResponse of a piece, or None where there is nothing to send."""
        outputs = self._outputs(piece)
        if not outputs:
            return None
        response = self._response(final=piece.final)
        response.model_version = (
            check_version(self._request.version) if self._request.version else self._version
        )
        for name, values in outputs.items():
            spec = self._spec(name)
            response.outputs.add(name=name, datatype=spec.datatype, shape=self._shape(spec, len(values)))
            response.raw_output_contents.append(wire.encode_tensor(spec.datatype, values))
        return response

    def final(self) -> Any:
        """Return the empty ModelInferResponse that marks the end."""
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

    def _response(self, *, final: bool) -> Any:
        # Without content the version is what was asked for, which usually is nothing.
        response = wire.pb.ModelInferResponse(
            model_name=self._request.model, model_version=self._request.version, id=self._request.request_id
        )
        if self._marked:
            response.parameters[wire.FINAL_PARAMETER].bool_param = final
        self.finished = self.finished or final
        return response

    def _outputs(self, piece: Piece) -> dict[str, Sequence[TensorValue]]:
        if piece.input_tokens is not None:
            self._input_tokens = piece.input_tokens
        outputs: dict[str, Sequence[TensorValue]] = {
            name: _elements(value) for name, value in piece.outputs.items()
        }
        text_name = self._model.text_output if self._model else "text_output"
        if text_name and (piece.text is not None or (self._reports and not outputs)):
            outputs[text_name] = [piece.text or b""]
        facts: dict[str, TensorValue] = {
            "finish_reason": piece.finish_reason or "None",
            "num_input_tokens": self._input_tokens,
            "num_output_tokens": piece.output_tokens,
        }
        if outputs:
            outputs |= {name: [facts[name]] for name in self._reports if name not in outputs}
        wanted = self._request.outputs
        return {name: values for name, values in outputs.items() if not wanted or name in wanted}

    def _spec(self, name: str) -> TensorSpec:
        declared = self._model.signature.outputs.get(name) if self._model else None
        return declared or TensorSpec(name, "BYTES")

    def _shape(self, spec: TensorSpec, count: int) -> list[int]:
        """Return the shape of ``count`` elements: what the declared dimensions leave open is solved for."""
        known = math.prod(size for size in spec.shape if size != -1)
        shape = [count // known if size == -1 else size for size in spec.shape]
        if self._model and self._model.signature.max_batch_size:
            return [1 if -1 in spec.shape else count // known, *shape]
        return shape


def _elements(value: TensorValue | Sequence[TensorValue]) -> Sequence[TensorValue]:
    return [value] if isinstance(value, (str, bytes, bool, int, float)) else value


def joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Join the pieces of a whole answer into one, for a model that answers once; raw pieces pass through."""
    whole = Piece()
    text: list[bytes] = []
    outputs: dict[str, Any] = {}
    for piece in pieces:
        if piece.raw is not None:
            yield piece
            return
        if piece.text is not None:
            text.append(piece.text)
        outputs.update(piece.outputs)
        whole = replace(
            whole,
            finish_reason=piece.finish_reason or whole.finish_reason,
            input_tokens=whole.input_tokens if piece.input_tokens is None else piece.input_tokens,
            output_tokens=whole.output_tokens + piece.output_tokens,
        )
    content: Mapping[str, Any] = outputs
    yield replace(whole, text=None if content and not text else b"".join(text), outputs=content, final=True)
