"""Model configurations in Triton's own form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nupic_client._datatypes import config_name

if TYPE_CHECKING:
    from nupic_client.signature import ModelSignature, TensorSpec

__all__ = ["config_text"]


def config_text(signature: ModelSignature) -> str:
    """Return the ``config.pbtxt`` of a model of the Python backend with this signature."""
    lines = [
        f'name: "{signature.name}"',
        'backend: "python"',
        f"max_batch_size: {signature.max_batch_size}",
        f"model_transaction_policy {{ decoupled: {str(signature.decoupled).lower()} }}",
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
    ]
    for field, specs in (("input", signature.inputs), ("output", signature.outputs)):
        lines += [f"{field} {{ {_tensor_text(spec)} }}" for spec in specs.values()]
    lines += [
        f'parameters {{ key: "{key}" value: {{ string_value: {json.dumps(value)} }} }}'
        for key, value in signature.parameters.items()
    ]
    return "\n".join(lines) + "\n"


def _tensor_text(spec: TensorSpec) -> str:
    dims = ", ".join(map(str, spec.shape))
    text = f'name: "{spec.name}" data_type: {config_name(spec.datatype)} dims: [ {dims} ]'
    return text + " optional: true" * spec.optional
