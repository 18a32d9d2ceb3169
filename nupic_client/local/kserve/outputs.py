"""The outputs of an answer's chunks, for the embedded server and the model inside Triton."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nupic_client.local.engine import Chunk, EngineRequest
from nupic_client.signature import TensorValue

__all__ = ["ChunkOutputs", "joined"]

_FACTS = ("finish_reason", "num_input_tokens", "num_output_tokens")


class ChunkOutputs:
    """Choose the outputs of each chunk of one answer. Not thread-safe.

    Args:
        text_name: name of the output that holds the text; empty if there is none.
        request: the request, whose inputs ``return_…`` ask for details beside the text.
    """

    def __init__(self, text_name: str, request: EngineRequest) -> None:
        self._text_name = text_name
        self._wanted = request.outputs
        self._reports = tuple(name for name in _FACTS if request.inputs.get(f"return_{name}") is True)
        self._input_tokens = 0

    def of(self, chunk: Chunk) -> dict[str, Sequence[TensorValue]]:
        """Return the elements of each output of a chunk; empty if there is nothing to send."""
        if chunk.input_tokens is not None:
            self._input_tokens = chunk.input_tokens
        outputs: dict[str, Sequence[TensorValue]] = {
            name: _elements(value) for name, value in chunk.outputs.items()
        }
        if self._text_name and (chunk.text is not None or (self._reports and not outputs)):
            outputs[self._text_name] = [chunk.text or b""]
        facts: dict[str, TensorValue] = {
            "finish_reason": chunk.finish_reason or "None",
            "num_input_tokens": self._input_tokens,
            "num_output_tokens": chunk.output_tokens,
        }
        if outputs:
            outputs |= {name: [facts[name]] for name in self._reports if name not in outputs}
        return {name: values for name, values in outputs.items() if not self._wanted or name in self._wanted}


def _elements(value: TensorValue | Sequence[TensorValue]) -> Sequence[TensorValue]:
    return [value] if isinstance(value, (str, bytes, bool, int, float)) else value


def joined(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Join the chunks of an answer into one, for a model that does not stream; raw chunks pass through."""
    whole = Chunk()
    text: list[bytes] = []
    outputs: dict[str, Any] = {}
    for chunk in chunks:
        if chunk.raw is not None:
            yield chunk
            return
        if chunk.text is not None:
            text.append(chunk.text)
        outputs.update(chunk.outputs)
        whole = replace(
            whole,
            finish_reason=chunk.finish_reason or whole.finish_reason,
            input_tokens=whole.input_tokens if chunk.input_tokens is None else chunk.input_tokens,
            output_tokens=whole.output_tokens + chunk.output_tokens,
        )
    content: Mapping[str, Any] = outputs
    yield replace(whole, text=None if content and not text else b"".join(text), outputs=content, final=True)
