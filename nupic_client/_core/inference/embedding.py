"""Texts to one matrix of embeddings: the inputs of each request, and the rows that its result fills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls import flows
from nupic_client._core.calls.outputs import check_output
from nupic_client._core.inference.batching import batched
from nupic_client._core.inference.request import InferenceRequest, find_model_observed
from nupic_client._core.inference.result import InferenceResult
from nupic_client._core.kserve.wire import RequestedOutput
from nupic_client._datatypes import DATATYPES
from nupic_client.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from nupic_client._arrays import Array, ArrayLike, Vectors
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.watch import Watch
    from nupic_client.signature import ModelSignature, TensorSpec

__all__ = ["EmbeddingBatcher", "check_texts", "prepare_embedding"]

_FLOATS = tuple(name for name, datatype in DATATYPES.items() if datatype.is_float)


def check_texts(texts: str | Iterable[str]) -> tuple[str, ...]:
    """Return the texts as a tuple; a single ``str`` is one text.

    Raises:
        ConfigurationError: one of them is not a ``str``.
    """
    found = (texts,) if isinstance(texts, str) else tuple(texts) if isinstance(texts, Iterable) else None
    if found is None:
        raise ConfigurationError(f"texts must be a str or a list of str, not {type(texts).__name__}")
    for index, text in enumerate(found):
        if not isinstance(text, str):
            raise ConfigurationError(f"texts[{index}] must be a str, not {type(text).__name__}")
    return found


class EmbeddingBatcher:
    """The requests for the embeddings of some texts, and the matrix they fill.

    Args:
        request: the caller's request: model and options.
        signature: of the model.
        texts: the texts.
        output: name of the output with the embeddings; None for the only one of floating-point numbers.
        batch_size: number of texts in one request; None for the most that the model takes.

    Raises:
        ConfigurationError: the model does not turn a text into floating-point numbers, or ``batch_size`` is
            more than it takes.
    """

    def __init__(
        self,
        request: InferenceRequest,
        signature: ModelSignature,
        texts: Sequence[str],
        *,
        output: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        signature, self._size = batched(signature, batch_size)
        self.signature = signature
        self._texts = texts
        self._input = _text_input(signature)
        self._output = _vector_output(signature, output)
        self._matrix: Vectors | None = None
        self.request = replace(request, outputs=(RequestedOutput(self._output.name),))
        """The caller's request, asking for the embeddings only."""

    def inputs(self) -> Iterator[dict[str, ArrayLike]]:
        """Yield the inputs of each request."""
        plain = self._input.shape == (1,)  # as nearly all: a list of texts has this shape
        for start in range(0, len(self._texts), self._size):
            chunk = list(self._texts[start : start + self._size])
            yield {self._input.name: chunk if plain else self._shaped(chunk)}

    def _shaped(self, texts: list[str]) -> Array:
        """Return texts as an array with the dimensions of the input, each of size 1."""
        import numpy as np  # noqa: PLC0415 - see `nupic_client._arrays`

        ones = (1,) * len(self._input.shape)
        batched = self.signature.max_batch_size > 0
        return np.array(texts, dtype=object).reshape((len(texts), *ones) if batched else ones)

    def add(self, index: int, result: InferenceResult) -> None:
        """Fill the rows of the request with this index.

        Raises:
            ProtocolError: the result does not have one vector for each text, or the vectors differ in length.
        """
        start = index * self._size
        count = len(self._texts[start : start + self._size])
        array = result[self._output.name]
        length = array.shape[-1] if array.ndim else 1
        if not length or array.size != count * length:
            raise ProtocolError(
                f"output {self._output.name!r} must have one vector for each of {count} texts, not the shape"
                f" {list(array.shape)}: use infer(texts), which returns the array as it is",
                model=result.model,
                request_id=result.request_id,
            )
        if self._matrix is None:
            self._matrix = _vectors(len(self._texts), length)
        if self._matrix.shape[1] != length:
            raise ProtocolError(
                f"output {self._output.name!r} must have vectors of {self._matrix.shape[1]} numbers as before, not of"
                f" {length}",
                model=result.model,
                request_id=result.request_id,
            )
        self._matrix[start : start + count] = array.reshape(count, length)

    def matrix(self) -> Vectors:
        """Return the matrix, one row for each text; without texts it is 0 rows of the width that the model declares."""
        if self._matrix is None:
            declared = self._output.shape[-1] if self._output.shape else 0
            return _vectors(0, max(declared, 0))
        return self._matrix


def _vectors(rows: int, length: int) -> Vectors:
    import numpy as np  # noqa: PLC0415 - see `nupic_client._arrays`

    return np.empty((rows, length), np.float32)


def prepare_embedding(
    request: InferenceRequest,
    texts: Sequence[str],
    models: ModelDirectory,
    watch: Watch | None = None,
    **choices: Any,
) -> flows.Flow[EmbeddingBatcher]:
    """Find the model and plan the requests; arguments as those of `EmbeddingBatcher`, and of `open_pipeline`.

    Raises:
        ConfigurationError: the model does not embed texts.
        RequestError: the server could not be asked.
    """
    if request.outputs:
        raise ConfigurationError(
            "outputs must not be given to embed: choose the output with the vectors as output=",
            parameter="outputs",
        )
    signature = yield from find_model_observed(request, models, watch)
    return EmbeddingBatcher(request, signature, texts, **choices)


def _text_input(signature: ModelSignature) -> TensorSpec:
    if not signature.inputs:
        raise ConfigurationError(
            f"model {signature.name!r} must have one BYTES input for embed, and the server lists no inputs for it: give"
            " the client signature=ModelSignature(…), or use infer(inputs)"
        )
    required = [spec for spec in signature.inputs.values() if not spec.optional]
    texts = [spec for spec in required or signature.inputs.values() if spec.datatype == "BYTES"]
    if len(texts) != 1 or len(required) > 1:
        given = ", ".join(f"{spec.name!r} {spec.datatype}" for spec in signature.inputs.values())
        raise ConfigurationError(
            f"model {signature.name!r} must have one BYTES input for embed, not {given}: use infer(inputs)"
        )
    if any(size not in {-1, 1} for size in texts[0].shape):
        raise ConfigurationError(
            f"input {texts[0].name!r} must hold one text for embed, not the shape {list(texts[0].shape)}:"
            " use infer(inputs)"
        )
    return texts[0]


def _vector_output(signature: ModelSignature, name: str | None) -> TensorSpec:
    if name is not None:
        check_output(signature, name)
        if signature.outputs[name].datatype not in _FLOATS:
            raise ConfigurationError(
                f"output {name!r} must be one of {', '.join(_FLOATS)}, not {signature.outputs[name].datatype}",
                parameter="output",
            )
        return signature.outputs[name]
    found = [spec for spec in signature.outputs.values() if spec.datatype in _FLOATS]
    if len(found) != 1:
        given = ", ".join(f"{spec.name!r} {spec.datatype}" for spec in signature.outputs.values())
        raise ConfigurationError(
            f"model {signature.name!r} must have one output of floating-point numbers for embed, not {given}: "
            + ("choose one with output=" if found else "use infer(inputs)"),
            parameter="output" if found else "",
        )
    return found[0]
