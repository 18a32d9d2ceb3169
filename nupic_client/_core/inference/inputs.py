"""The caller's inputs, checked against the model's names and batch size; `input_arrays` of `kserve` encodes each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nupic_client._arrays import ArrayLike
from nupic_client._core.kserve.input_arrays import encode_array, encode_undeclared
from nupic_client._core.kserve.wire import EncodedTensor
from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError
from nupic_client.signature import ModelSignature

__all__ = ["EncodedBatch", "encode_inputs", "single_inputs"]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """The inputs of a request.

    Args:
        tensors: the inputs, in the order the caller gave them.
        rows: the size of the batch; None for a model without a batch dimension, and for a request without inputs.
    """

    tensors: tuple[EncodedTensor, ...]
    rows: int | None

    def fits(self, other: EncodedBatch) -> bool:
        """Return whether the two can be sent as one request: the same but for the size of the batch and the contents.

        One without rows is sent by itself: whether a server takes it must not depend on what is beside it.
        """
        return (
            bool(self.rows and other.rows)
            and all(tensor.contents for tensor in self.tensors)  # what is in shared memory stays there
            and [(tensor.name, tensor.shape[1:], tensor.parameters) for tensor in self.tensors]
            == [(tensor.name, tensor.shape[1:], tensor.parameters) for tensor in other.tensors]
        )

    @classmethod
    def joined(cls, batches: Iterable[EncodedBatch]) -> EncodedBatch:
        """Return batches that fit each other as one, row after row."""
        batches = tuple(batches)
        if len(batches) == 1:
            return batches[0]
        rows = sum(batch.rows or 0 for batch in batches)
        tensors = [
            EncodedTensor(
                parts[0].name,
                parts[0].datatype,
                (rows, *parts[0].shape[1:]),
                tuple(content for part in parts for content in part.contents),
                parts[0].parameters,
            )
            for parts in zip(*(batch.tensors for batch in batches), strict=True)
        ]
        return cls(tuple(tensors), rows)


def encode_inputs(signature: ModelSignature, inputs: Mapping[str, ArrayLike] | ArrayLike) -> EncodedBatch:
    """Check the caller's inputs against the model's signature and encode them.

    Args:
        signature: of the model.
        inputs: arrays by the name of the input, or the value of the only input.

    Raises:
        ConfigurationError: a name, data type or shape is not the model's, an input is missing, or the batch
            is too large; the message names the input.
    """
    if not signature.inputs and (inputs if isinstance(inputs, Mapping) else True):
        return _encode_undeclared(signature, inputs)
    named = inputs if isinstance(inputs, Mapping) else {_only_input(signature): inputs}
    _check_names(signature, named)
    batched = signature.max_batch_size > 0
    tensors = tuple(
        encode_array(signature.inputs[name], value, batched=batched) for name, value in named.items()
    )
    return EncodedBatch(tensors, _rows(signature, tensors))


def _encode_undeclared(
    signature: ModelSignature, inputs: Mapping[str, ArrayLike] | ArrayLike
) -> EncodedBatch:
    """Encode the inputs of a model whose server lists none, each with its own data type: the server checks them.

    MLServer and KServe need not list the inputs of a model.
    """
    if not isinstance(inputs, Mapping):
        raise ConfigurationError(
            f"the inputs of model {signature.name!r} must be a mapping of name to array, not a single value: the server"
            " lists no inputs for it. Or give the client signature=ModelSignature(…)"
        )
    return EncodedBatch(tuple(encode_undeclared(name, value) for name, value in inputs.items()), None)


def single_inputs(signature: ModelSignature) -> list[str]:
    """Return the inputs that a bare value may be for: the required ones, or all where none is; it needs to be one."""
    required = [name for name, spec in signature.inputs.items() if not spec.optional]
    return required or list(signature.inputs)


def _only_input(signature: ModelSignature) -> str:
    candidates = single_inputs(signature)
    if len(candidates) != 1:
        raise ConfigurationError(
            f"the inputs of model {signature.name!r} must be a mapping of name to array for {listed(candidates)},"
            " not a single value"
        )
    return candidates[0]


def _check_names(signature: ModelSignature, named: Mapping[str, Any]) -> None:
    for name in named:
        if name not in signature.inputs:
            raise ConfigurationError(
                f"model {signature.name!r} has no input {name!r}: {did_you_mean(name, signature.inputs)}the inputs are"
                f" {listed(signature.inputs)}"
            )
    missing = [name for name, spec in signature.inputs.items() if not spec.optional and name not in named]
    if missing:
        raise ConfigurationError(
            f"the inputs of model {signature.name!r} must include {listed(missing)}"
            + (f", not only {listed(named)}" if named else "")
        )


def _rows(signature: ModelSignature, tensors: tuple[EncodedTensor, ...]) -> int | None:
    if not signature.max_batch_size or not tensors:
        return None
    first = tensors[0]
    for tensor in tensors:
        if tensor.shape[0] != first.shape[0]:
            raise ConfigurationError(
                f"input {tensor.name!r} must have the batch size {first.shape[0]} of input {first.name!r},"
                f" not {tensor.shape[0]}"
            )
    if first.shape[0] > signature.max_batch_size:
        raise ConfigurationError(
            f"input {first.name!r} must have a batch size of at most {signature.max_batch_size}, the most that"
            f" model {signature.name!r} takes, not {first.shape[0]}: infer sends one request; embed(texts) and"
            " map(items, batch_size=…) send several"
        )
    return first.shape[0]
