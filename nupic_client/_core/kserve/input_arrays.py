"""The inputs of a request, each checked against the input that the model declares, and encoded.

A model with a batch dimension (``max_batch_size`` above 0) declares its shapes without it. One item may be given without it
too. Dimensions of size 1 at the end may be left out, so that a list of n texts fits a declared ``[1]`` as ``[n, 1]``.
Everything else must be given as the model declares it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client._core.kserve.arrays import as_array, content_of, own_datatype
from nupic_client._core.kserve.wire import EncodedTensor
from nupic_client._parameters import NO_PARAMETERS, Parameters
from nupic_client.errors import ConfigurationError
from nupic_client.infer_input import InferInput
from nupic_client.shared_memory_places import SharedMemoryTensor

if TYPE_CHECKING:
    from nupic_client._arrays import Array, ArrayLike
    from nupic_client.signature import TensorSpec

__all__ = ["encode_array", "encode_undeclared", "fit_shape"]

_BESIDES_ARRAYS = (InferInput, SharedMemoryTensor)
"""Values of inputs that are no arrays themselves."""


def encode_array(spec: TensorSpec, value: ArrayLike, *, batched: bool) -> EncodedTensor:
    """Check a value against an input of a model and encode it.

    Args:
        spec: the input as the model declares it.
        value: see `ArrayLike`.
        batched: whether the model has a batch dimension before the declared ones.

    Raises:
        ConfigurationError: the value does not have the data type or the shape; the message names the input.
    """
    parameters = NO_PARAMETERS
    if isinstance(value, _BESIDES_ARRAYS):
        value, parameters = _unwrapped(value)
        if isinstance(value, SharedMemoryTensor):
            return _encode_place(spec, value, parameters, batched=batched)
    array = as_array(spec.name, spec.datatype, value)
    shape = fit_shape(spec, array, batched=batched)
    return EncodedTensor(spec.name, spec.datatype, shape, (content_of(spec.datatype, array),), parameters)


def encode_undeclared(name: str, value: ArrayLike) -> EncodedTensor:
    """Encode an input that the server does not list, with the data type and shape that the value has by itself.

    Raises:
        ConfigurationError: the protocol has no such data type; the message names the input.
    """
    parameters = NO_PARAMETERS
    if isinstance(value, _BESIDES_ARRAYS):
        value, parameters = _unwrapped(value)
        if isinstance(value, SharedMemoryTensor):
            return EncodedTensor(name, value.datatype, tuple(value.shape), (), parameters)
    datatype = own_datatype(name, value)
    array = as_array(name, datatype, value)
    return EncodedTensor(name, datatype, array.shape, (content_of(datatype, array),), parameters)


def _unwrapped(value: InferInput | SharedMemoryTensor) -> tuple[ArrayLike, Parameters]:
    """Return the value inside of an input and the parameters to send with it."""
    parameters = NO_PARAMETERS
    if isinstance(value, InferInput):
        value, parameters = value.data, value.parameters
    if isinstance(value, SharedMemoryTensor):
        parameters = {**parameters, **value.parameters}
    return value, parameters


def _encode_place(
    spec: TensorSpec, tensor: SharedMemoryTensor, parameters: Parameters, *, batched: bool
) -> EncodedTensor:
    """Check a tensor in shared memory against an input of a model. It has no contents in the message."""
    if tensor.datatype != spec.datatype:
        raise ConfigurationError(
            f"input {spec.name!r} must be {spec.datatype}, not {tensor.datatype} in shared memory: put it there with"
            f" datatype={spec.datatype!r}"
        )
    shape = fit_shape(spec, tensor, batched=batched)
    return EncodedTensor(spec.name, spec.datatype, shape, (), parameters)


def fit_shape(spec: TensorSpec, array: Array | SharedMemoryTensor, *, batched: bool) -> tuple[int, ...]:
    """Return the full shape to send an array with.

    Args:
        spec: the input as the model declares it.
        array: the value to send, or where it is.
        batched: whether the model has a batch dimension before the declared ones.

    Raises:
        ConfigurationError: the array does not have the declared shape.
    """
    given = tuple(array.shape)
    declared = (-1, *spec.shape) if batched else spec.shape
    candidates = [given]
    if batched:
        candidates.append((1, *given))
    ends = declared[len(given) :]
    if ends and (not given or set(ends) == {1}):
        candidates.append(given + (1,) * len(ends))
    for shape in candidates:
        if len(shape) == len(declared) and all(
            want in (-1, size) for want, size in zip(declared, shape, strict=True)
        ):
            return shape
    batch = " (the first dimension is the batch; a single item may leave it out)" if batched else ""
    raise ConfigurationError(
        f"input {spec.name!r} must have the shape {_dims(declared, batched=batched)}{batch}, not {_dims(given)}"
    )


def _dims(shape: tuple[int, ...], *, batched: bool = False) -> str:
    sizes = ["any" if size < 0 else str(size) for size in shape]
    if batched:
        sizes[0] = "batch"
    return f"[{', '.join(sizes)}]"
