"""How many rows go into one request: what the model says, and what the caller says where only the caller knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from nupic_client._numbers import check_integer

if TYPE_CHECKING:
    from nupic_client.signature import ModelSignature, TensorSpec

__all__ = ["batched"]

_ANY = -1


def batched(signature: ModelSignature, batch_size: int | None) -> tuple[ModelSignature, int]:
    """Return the signature to make batches by, and the most rows of one.

    The metadata of a model, which is all that servers without Triton's ModelConfig have, do not say which dimension is the
    batch. Where a size above 1 is given and all tensors begin with a dimension of any size, that one is it.

    Args:
        signature: of the model.
        batch_size: as the caller gives it; None for the most that the model takes.

    Raises:
        ConfigurationError: the model does not take so many.
    """
    if batch_size is not None and not signature.max_batch_size and _may_be_batched(signature):
        size = check_integer("batch_size", batch_size, "a whole number above 0", low=1)
        return (_with_batch_dimension(signature, size) if size > 1 else signature), size
    most = max(signature.max_batch_size, 1)
    if batch_size is None:
        return signature, most
    allowed = f"from 1 to {most}, the most that model {signature.name!r} takes"
    return signature, check_integer("batch_size", batch_size, allowed, low=1, high=most)


def _may_be_batched(signature: ModelSignature) -> bool:
    tensors = (*signature.inputs.values(), *signature.outputs.values())
    from_metadata = not signature.backend  # every configuration names it
    return from_metadata and bool(tensors) and all(spec.shape[:1] == (_ANY,) for spec in tensors)


def _with_batch_dimension(signature: ModelSignature, size: int) -> ModelSignature:
    inputs, outputs = _rows(signature.inputs), _rows(signature.outputs)
    return replace(signature, max_batch_size=size, inputs=inputs, outputs=outputs)


def _rows(tensors: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    return {name: replace(spec, shape=spec.shape[1:]) for name, spec in tensors.items()}
