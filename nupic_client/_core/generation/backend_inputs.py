"""The inputs of a request: those of the backend, with the caller's own put over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nupic_client._suggest import did_you_mean, listed
from nupic_client.backends.protocol import make_tensor
from nupic_client.errors import ConfigurationError
from nupic_client.options import BackendInputs

if TYPE_CHECKING:
    from nupic_client.signature import InputTensor, ModelSignature

__all__ = ["check_filled", "with_inputs"]


def with_inputs(
    tensors: list[InputTensor], signature: ModelSignature, extra: BackendInputs
) -> list[InputTensor]:
    """Return the inputs with the caller's own put over them.

    Args:
        tensors: the inputs that the backend sends.
        signature: of the model.
        extra: the caller's inputs by name.

    Raises:
        ConfigurationError: the model has no such input, or the value does not fit it.
    """
    made = {tensor.name: tensor for tensor in tensors}
    for name, value in extra.items():
        if name not in signature.inputs:
            raise ConfigurationError(
                f"backend_inputs: model {signature.name!r} has no input {name!r}:"
                f" {did_you_mean(name, signature.inputs)}the inputs are {listed(signature.inputs)}"
            )
        if isinstance(value, Mapping):
            value = _merged_json(name, value, made.get(name))  # noqa: PLW2901 - the same value as JSON
        made[name] = make_tensor(signature.inputs[name], value, signature)
    return list(made.values())


def _merged_json(name: str, value: Mapping[str, object], tensor: InputTensor | None) -> str:
    """Return a mapping as JSON, put over the JSON that the backend sends as this input."""
    try:
        base = json.loads(str(tensor.values[0])) if tensor is not None else {}
        return json.dumps({**base, **value})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"backend_inputs: {name!r} cannot be sent as JSON: {error}") from None


def check_filled(tensors: list[InputTensor], signature: ModelSignature) -> None:
    """Raise ConfigurationError where an input is missing that the model requires."""
    filled = {tensor.name for tensor in tensors}
    missing = [name for name, spec in signature.inputs.items() if not spec.optional and name not in filled]
    if missing:
        raise ConfigurationError(
            f"model {signature.name!r} requires the input {', '.join(map(repr, missing))}:"
            " give it as an option of that name or in backend_inputs"
        )
