"""Signatures of models: names, data types and shapes of inputs and outputs, as the server states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nupic_client._public import publish
from nupic_client._repr import short_repr

__all__ = ["InputTensor", "ModelSignature", "TensorSpec", "TensorValue"]

TensorValue: TypeAlias = str | bytes | bool | int | float
"""One element of a tensor; a ``str`` or ``bytes`` is an element of a BYTES tensor."""


@dataclass(frozen=True, slots=True, repr=False)
class TensorSpec:
    """One input or output of a model.

    Args:
        name: the tensor's name.
        datatype: the KServe v2 data type, e.g. ``"BYTES"``, ``"INT32"``, ``"FP32"``.
        shape: the dimensions without the batch dimension; -1 for any size.
        optional: whether a request may leave this input out.
    """

    name: str
    """The tensor's name."""
    datatype: str
    """The KServe v2 data type, e.g. ``"BYTES"``, ``"INT32"``, ``"FP32"``."""
    shape: tuple[int, ...] = (1,)
    """The dimensions without the batch dimension; -1 for any size."""
    optional: bool = False
    """Whether a request may leave this input out."""

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True, slots=True, repr=False)
class ModelSignature:
    """The signature of one model, read from its ModelConfig (or ModelMetadata where there is no config).

    Args:
        name: the server's name of the model.
        inputs: the inputs by name.
        outputs: the outputs by name.
        decoupled: whether one request may be answered by any number of responses, i.e. whether the model can
            stream.
        max_batch_size: 0 means that shapes have no batch dimension.
        backend: Triton's backend name such as ``"python"`` or ``"vllm"``; empty where it is not stated.
        platform: Triton's platform name such as ``"ensemble"``; empty where it is not stated.
        parameters: the string parameters of the model configuration.
    """

    name: str
    """The server's name of the model."""
    inputs: Mapping[str, TensorSpec]
    """The inputs by name."""
    outputs: Mapping[str, TensorSpec]
    """The outputs by name."""
    decoupled: bool = False
    """Whether one request may be answered by any number of responses, i.e. whether the model can stream."""
    max_batch_size: int = 0
    """0 means that shapes have no batch dimension."""
    backend: str = ""
    """Triton's backend name such as ``"python"`` or ``"vllm"``; empty where it is not stated."""
    platform: str = ""
    """Triton's platform name such as ``"ensemble"``; empty where it is not stated."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The string parameters of the model configuration."""

    def __repr__(self) -> str:
        return short_repr(self, inputs=_listed, outputs=_listed)


def _listed(tensors: Mapping[str, TensorSpec]) -> str:
    """Return tensors as a signature shows them: its repr is for people, and they have many."""
    shown = (
        f"{name}: {tensor.datatype} {tensor.shape}{' optional' if tensor.optional else ''}"
        for name, tensor in tensors.items()
    )
    return f"{{{', '.join(shown)}}}"


@dataclass(frozen=True, slots=True)
class InputTensor:
    """An input of a request, ready to be encoded.

    Args:
        name: the input's name.
        datatype: its KServe v2 data type.
        shape: its full shape, with the batch dimension where the model has one.
        values: its elements in row-major order.
    """

    name: str
    """The input's name."""
    datatype: str
    """Its KServe v2 data type."""
    shape: tuple[int, ...]
    """Its full shape, with the batch dimension where the model has one."""
    values: tuple[TensorValue, ...] = field(repr=False)  # one of them is the prompt
    """Its elements in row-major order."""


publish(__name__)
