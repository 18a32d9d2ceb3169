"""The inputs of a request: those of the backend, with the caller's own put over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from nupic_client._core.kserve.codec import encode_tensor
from nupic_client._core.kserve.wire import EncodedTensor
from nupic_client._datatypes import DATATYPES
from nupic_client._numbers import as_python
from nupic_client._suggest import did_you_mean, listed
from nupic_client.backends.protocol import make_tensor
from nupic_client.backends.single_answer import SEND_SEVERAL, check_single_answer
from nupic_client.backends.vllm import as_vllm_reads
from nupic_client.errors import ConfigurationError
from nupic_client.infer_input import InferInput
from nupic_client.signature import InputTensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client._parameters import Parameters
    from nupic_client.options import BackendInputs
    from nupic_client.signature import ModelSignature, TensorSpec

__all__ = ["RequestTensor", "check_filled", "with_inputs"]

RequestTensor: TypeAlias = "InputTensor | EncodedTensor"
"""An input of a request, as elements or as contents."""


def with_inputs(
    tensors: Sequence[RequestTensor], signature: ModelSignature, extra: BackendInputs
) -> list[RequestTensor]:
    """Return the inputs with the caller's own put over them.

    Args:
        tensors: the inputs that the backend sends.
        signature: of the model.
        extra: the caller's inputs by name.

    Raises:
        ConfigurationError: the model has no such input, the value does not fit it, or asks for more than one text.
    """
    made = {tensor.name: tensor for tensor in tensors}
    for name, value in extra.items():
        if name not in signature.inputs:
            raise ConfigurationError(
                f"backend_inputs: model {signature.name!r} has no input {name!r}:"
                f" {did_you_mean(name, signature.inputs)}the inputs are {listed(signature.inputs)}",
                parameter="backend_inputs",
            )
        data, parameters = (value.data, value.parameters) if isinstance(value, InferInput) else (value, {})
        check_single_answer(name, data)
        if isinstance(data, Mapping):
            data = _merged_json(name, data, made.get(name))
        tensor = _encoded(signature.inputs[name], data, signature)
        made[name] = _with_parameters(tensor, parameters, signature) if parameters else tensor
    return list(made.values())


def _with_parameters(
    tensor: RequestTensor, parameters: Parameters, signature: ModelSignature
) -> EncodedTensor:
    """Return an input with parameters of its own."""
    if isinstance(tensor, EncodedTensor):
        return replace(tensor, parameters=parameters)
    try:
        content = encode_tensor(tensor.datatype, tensor.values)
    except ValueError as error:
        raise ConfigurationError(f"model {signature.name!r}: input {tensor.name!r}: {error}") from None
    return EncodedTensor(tensor.name, tensor.datatype, tensor.shape, (content,), parameters)


def _encoded(spec: TensorSpec, value: Any, signature: ModelSignature) -> RequestTensor:
    """Return a value as an input: single elements and flat lists of them without numpy, whose import takes a while."""
    value = as_python(value)
    if isinstance(value, (bytearray, memoryview)) and spec.datatype == "BYTES":
        value = bytes(value)
    if isinstance(value, (list, tuple, range)):
        value = [as_python(item) for item in value]
        # A flat list does not tell the sizes of several free dimensions.
        simple = all(isinstance(item, _ELEMENTS) for item in value) and sum(n < 0 for n in spec.shape) < 2
    else:
        simple = value is None or isinstance(value, _ELEMENTS)
    datatype = DATATYPES.get(spec.datatype)
    if simple and (datatype is None or datatype.kinds):
        return make_tensor(spec, value, signature)
    from nupic_client._core.kserve.input_arrays import encode_array  # noqa: PLC0415  # it imports numpy

    batched = signature.max_batch_size > 0
    tensor = encode_array(spec, value, batched=batched)
    if batched and tensor.shape[0] != 1:
        raise ConfigurationError(
            f"backend_inputs: input {spec.name!r} must have the batch size 1, not {tensor.shape[0]}: a generation is one"
            f" text; {SEND_SEVERAL}",
            parameter="backend_inputs",
        )
    return tensor


_ELEMENTS = (str, bytes, bool, int, float)


def _merged_json(name: str, value: Mapping[str, object], tensor: RequestTensor | None) -> str:
    """Return a mapping as JSON, put over the JSON that the backend sends as this input."""
    try:
        base = json.loads(str(tensor.values[0])) if isinstance(tensor, InputTensor) else {}
        return json.dumps({**base, **as_vllm_reads(name, value)}, default=_jsonable)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"backend_inputs: {name!r} cannot be sent as JSON: {error}") from None


def _jsonable(value: Any) -> object:
    """Return an array or a number of numpy as JSON can say it."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist") and not isinstance(value, memoryview):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def check_filled(tensors: Sequence[RequestTensor], signature: ModelSignature) -> None:
    """Raise ConfigurationError where an input is missing that the model requires."""
    filled = {tensor.name for tensor in tensors}
    missing = [name for name, spec in signature.inputs.items() if not spec.optional and name not in filled]
    if missing:
        raise ConfigurationError(
            f"model {signature.name!r} requires the input {', '.join(map(repr, missing))}:"
            " give it as an option of that name or in backend_inputs"
        )
