"""A model's description for its clients: ModelMetadata and ModelConfig."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nupic_client._core.kserve import wire
from nupic_client._datatypes import config_name

if TYPE_CHECKING:
    from nupic_client.local.engine import ServedModel

__all__ = ["model_config", "model_metadata"]


def model_metadata(model: ServedModel) -> Any:
    """Return the ModelMetadataResponse of a model."""
    signature = model.signature
    response = wire.pb.ModelMetadataResponse(
        name=model.name, versions=model.versions, platform=signature.platform or signature.backend or "python"
    )
    batch = (-1,) if signature.max_batch_size else ()
    for field, specs in ((response.inputs, signature.inputs), (response.outputs, signature.outputs)):
        for spec in specs.values():
            field.add(name=spec.name, datatype=spec.datatype, shape=(*batch, *spec.shape))
    return response


def model_config(model: ServedModel) -> Any:
    """Return the ModelConfigResponse of a model."""
    signature = model.signature
    response = wire.pb.ModelConfigResponse()
    config = response.config
    config.name = model.name
    config.backend = signature.backend
    config.platform = signature.platform
    config.max_batch_size = signature.max_batch_size
    config.version_policy.latest.num_versions = 1
    if signature.decoupled:
        config.model_transaction_policy.decoupled = True
    if signature.platform == "ensemble":
        config.ensemble_scheduling.SetInParent()
    if signature.backend:
        config.instance_group.add(name=f"{model.name}_0", count=1, kind="KIND_CPU")
        config.optimization.input_pinned_memory.enable = True
        config.optimization.output_pinned_memory.enable = True
    if signature.backend == "python":
        config.default_model_filename = "model.py"
    for spec in signature.inputs.values():
        config.input.add(
            name=spec.name, data_type=_config_type(spec.datatype), dims=spec.shape, optional=spec.optional
        )
    for spec in signature.outputs.values():
        config.output.add(name=spec.name, data_type=_config_type(spec.datatype), dims=spec.shape)
    for item in config.output:
        if model.labels.get(item.name):
            item.label_filename = f"{item.name}_labels.txt"
    for name, value in signature.parameters.items():
        config.parameters[name].string_value = value
    return response


def _config_type(datatype: str) -> int:
    number: int = wire.pb.model__config__pb2.DataType.Value(config_name(datatype))
    return number
