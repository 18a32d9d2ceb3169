"""From pieces of an answer to outputs by name: what the embedded server and the model inside Triton share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nupic_client.backends.signature import TensorValue
from nupic_client.local.engine import EngineRequest, Piece

__all__ = ["PieceOutputs", "joined"]

_FACTS = ("finish_reason", "num_input_tokens", "num_output_tokens")


class PieceOutputs:
    """Choose the outputs of each piece of one answer. Not thread-safe.

    Args:
        text_name: name of the output that holds the text; empty if there is none.
        request: the request, whose switches ``return_…`` ask for facts beside the text.
    """

    def __init__(self, text_name: str, request: EngineRequest) -> None:
        self._text_name = text_name
        self._wanted = request.outputs
        self._reports = tuple(name for name in _FACTS if request.inputs.get(f"return_{name}") is True)
        self._input_tokens = 0

    def of(self, piece: Piece) -> dict[str, Sequence[TensorValue]]:
        """Return the elements of each output of a piece; nothing where there is nothing to send."""
        if piece.input_tokens is not None:
            self._input_tokens = piece.input_tokens
        outputs: dict[str, Sequence[TensorValue]] = {
            name: _elements(value) for name, value in piece.outputs.items()
        }
        if self._text_name and (piece.text is not None or (self._reports and not outputs)):
            outputs[self._text_name] = [piece.text or b""]
        facts: dict[str, TensorValue] = {
            "finish_reason": piece.finish_reason or "None",
            "num_input_tokens": self._input_tokens,
            "num_output_tokens": piece.output_tokens,
        }
        if outputs:
            outputs |= {name: [facts[name]] for name in self._reports if name not in outputs}
        return {name: values for name, values in outputs.items() if not self._wanted or name in self._wanted}


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
