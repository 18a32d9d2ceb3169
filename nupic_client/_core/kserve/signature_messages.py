"""Model signatures from ModelConfig and ModelMetadata."""

from __future__ import annotations

from typing import Any

from nupic_client._core.kserve import wire
from nupic_client._datatypes import from_config_name
from nupic_client.signature import ModelSignature, TensorSpec

__all__ = ["signature_from_config", "signature_from_metadata"]


def _datatype(enum_value: int) -> str:
    known = wire.pb.model__config__pb2.DataType.DESCRIPTOR.values_by_number.get(enum_value)
    if known is None:  # a data type of a newer server: the model may work without a value for this tensor
        return f"TYPE_{enum_value}"
    return from_config_name(known.name)


def signature_from_config(config: Any) -> ModelSignature:
    """Read a model's signature from its ModelConfig, which is complete (optional inputs, decoupled, parameters)."""
    return ModelSignature(
        name=config.name,
        inputs={
            item.name: TensorSpec(item.name, _datatype(item.data_type), tuple(item.dims), item.optional)
            for item in config.input
        },
        outputs={
            item.name: TensorSpec(item.name, _datatype(item.data_type), tuple(item.dims))
            for item in config.output
        },
        decoupled=config.model_transaction_policy.decoupled,
        max_batch_size=config.max_batch_size,
        backend=config.backend,
        platform=config.platform,
        parameters={name: value.string_value for name, value in config.parameters.items()},
    )


def signature_from_metadata(metadata: Any, *, decoupled: bool = True) -> ModelSignature:
    """Read a model's signature from its ModelMetadata, for servers of KServe v2 that have no ModelConfig.

    Metadata does not state which inputs are optional (all but ``text_input`` count as optional) nor whether the model is
    decoupled (unless the caller knows, it counts as decoupled: a stream of one response works too). Shapes keep a batch
    dimension if there is one.
    """
    return ModelSignature(
        name=metadata.name,
        inputs={
            item.name: TensorSpec(item.name, item.datatype, tuple(item.shape), item.name != "text_input")
            for item in metadata.inputs
        },
        outputs={
            item.name: TensorSpec(item.name, item.datatype, tuple(item.shape)) for item in metadata.outputs
        },
        decoupled=decoupled,
        platform=metadata.platform,
    )
