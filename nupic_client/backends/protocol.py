"""The interface of backends: the tensors to send for a generation, and the outputs that hold its answer."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nupic_client._datatypes import DATATYPES
from nupic_client.errors import ConfigurationError
from nupic_client.sampling import SamplingParams
from nupic_client.signature import InputTensor, ModelSignature, TensorSpec, TensorValue

__all__ = ["DEFAULT_MAX_TOKENS", "Backend", "OutputNames", "make_tensor"]

DEFAULT_MAX_TOKENS = 1024
"""Sent as ``max_tokens`` where the caller gives none, to a backend that requires it or has a tiny default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputNames:
    """The names of the outputs that hold the parts of an answer.

    Args:
        text: the output with the text: BYTES, or token ids where ``detokenize`` is given.
        cumulative: whether each response holds the whole text so far. None where that is not known: then they hold new
            text, unless the model's `ModelSpec` says ``text="auto"``, which lets the responses decide.
        finish_reason: the BYTES output with the reason the text ended, or None.
        input_tokens: the output with the number of prompt tokens, or None.
        output_tokens: the output with the number of new tokens in each response, or None.
        logprobs: the output with the log probabilities of the tokens, or None. BYTES: JSON as vLLM writes it;
            numbers: one for each token of a response, or of all responses so far.
        echo: whether the text may begin with the prompt, which is then removed.
        marks_end: whether the last response is marked as the final one. False: an answer is complete when the call ends
            with status OK.
        detokenize: turns all token ids so far into text, for a model that answers with token ids.
    """

    text: str = "text_output"
    cumulative: bool | None = None
    finish_reason: str | None = None
    input_tokens: str | None = None
    output_tokens: str | None = None
    logprobs: str | None = None
    echo: bool = False
    marks_end: bool = True
    detokenize: Callable[[Sequence[int]], str] | None = None


@runtime_checkable
class Backend(Protocol):
    """The tensors of a text-generation request and its answer for one kind of model. Stateless.

    `nupic_client.backends.TensorBackend` implements all of it from a few declared names.
    """

    @property
    def name(self) -> str:
        """The backend's name, e.g. ``"plain"``."""
        ...

    def matches(self, signature: ModelSignature) -> bool:
        """Return whether a model of this signature is one of this backend."""
        ...

    def supports(self, option: str, signature: ModelSignature) -> bool:
        """Return whether a sampling option, or ``"logprobs"``, can be sent to this model."""
        ...

    def refuse_streaming(self, signature: ModelSignature) -> str | None:
        """Return advice for a model that cannot stream, or None where it can.

        Asked only of a model that is not decoupled, i.e. that answers a request with exactly one response.
        """
        ...

    def inputs(
        self,
        signature: ModelSignature,
        prompt: str,
        sampling: SamplingParams,
        *,
        stream: bool = True,
        logprobs: int | None = None,
    ) -> list[InputTensor]:
        """Return the inputs of a request; options that the model has no tensor for are left out.

        Args:
            signature: of the model.
            prompt: the text to continue.
            sampling: the options that were given.
            stream: whether the answer should come in chunks.
            logprobs: number of most likely tokens to report at each position besides the chosen one; None for
                no log probabilities.

        Raises:
            ConfigurationError: the model cannot do what is asked.
        """
        ...

    def output_names(
        self,
        signature: ModelSignature,
        *,
        cumulative: bool | None,
        stream: bool = True,
        logprobs: int | None = None,
    ) -> OutputNames:
        """Return the names of the outputs that hold the answer to such a request.

        Args:
            signature: of the model.
            cumulative: whether responses hold the whole text so far; None leaves that to the backend.
            stream: as for `inputs`.
            logprobs: as for `inputs`.
        """
        ...


def make_tensor(
    spec: TensorSpec, value: TensorValue | Sequence[TensorValue], signature: ModelSignature
) -> InputTensor:
    """Shape a scalar or a flat list as the model declares the input.

    Args:
        spec: the input as the model declares it.
        value: one element or several.
        signature: of the model, for the batch dimension.

    Returns:
        The tensor; its innermost free dimension takes the number of elements, other free dimensions are 1.

    Raises:
        ConfigurationError: the elements do not fill the declared shape, or are not of its kind.
    """
    # Single elements first: asking for an abstract class takes several times longer.
    if isinstance(value, (str, bytes, int, float)) or not isinstance(value, Sequence):
        values: tuple[TensorValue, ...] = (value,)
    else:
        values = tuple(value)
    for element in values:
        _check_kind(spec, element)
    dims = _dims(spec, len(values), signature)
    batch = (1,) if signature.max_batch_size > 0 else ()
    return InputTensor(spec.name, spec.datatype, (*batch, *dims), values)


def _dims(spec: TensorSpec, count: int, signature: ModelSignature) -> Sequence[int]:
    """Return the declared shape with its free dimensions filled, so that it holds this many elements."""
    if spec.shape == (1,) and count == 1:  # nearly all inputs of text models
        return spec.shape
    dims = list(spec.shape)
    fixed = 1
    for size in dims:
        fixed *= size if size >= 0 else 1
    free = [index for index, size in enumerate(dims) if size < 0]
    for index in free:
        dims[index] = 1
    if free and fixed and count % fixed == 0:
        dims[free[-1]] = count // fixed
    elif count != fixed:
        raise ConfigurationError(
            f"input {spec.name!r} of model {signature.name!r} must have the shape {list(spec.shape)}:"
            f" {count} elements do not fit it"
        )
    return dims


def _check_kind(spec: TensorSpec, element: object) -> None:
    datatype = DATATYPES.get(spec.datatype)
    if datatype is None or not datatype.kinds:
        raise ConfigurationError(
            f"input {spec.name!r} is of the data type {spec.datatype}, which cannot be sent"
        )
    if not isinstance(element, datatype.kinds) or (isinstance(element, bool) and spec.datatype != "BOOL"):
        # A text may be the prompt, which error texts do not show.
        shown = repr(element) if isinstance(element, (bool, int, float)) else type(element).__name__
        raise ConfigurationError(f"input {spec.name!r} must be {spec.datatype}, not {shown}")
    if datatype.is_float and isinstance(element, int) and not _is_exact(element, datatype.struct_code):
        raise ConfigurationError(
            f"input {spec.name!r} must be {spec.datatype}, not {element!r}, which does not fit"
        )


def _is_exact(number: int, code: str) -> bool:
    """Return whether a floating-point type of the module ``struct`` holds a whole number as it is, if it has room for it."""
    try:
        return bool(struct.unpack(f"<{code}", struct.pack(f"<{code}", number))[0] == number)
    except (OverflowError, struct.error):
        return True  # the encoder says so
