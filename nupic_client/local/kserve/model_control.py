"""Explicit model control: clients load and unload models, also with a configuration of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import signature_from_config
from nupic_client.local.kserve.status import StatusError, invalid

if TYPE_CHECKING:
    from nupic_client.local.engine import ServedModel
    from nupic_client.local.kserve.repository import Repository
    from nupic_client.signature import ModelSignature

__all__ = ["ModelControl"]

_NO_FILES = "this server takes no files from its clients"
_UNLOADED = "unloaded"
_BACKENDS = frozenset(
    {"", "python", "vllm", "tensorrtllm", "onnxruntime", "pytorch", "tensorflow", "tensorrt"}
)


class ModelControl:
    """Load and unload the models of a repository as the real server does.

    Args:
        repository: the models.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def load(self, request: Any) -> None:
        """Load a model as it is stored, or with the configuration in the request.

        What that configuration leaves out, the model completes itself. It stays until the model is unloaded.

        Raises:
            StatusError: it cannot be loaded; a loaded model is left as it is.
        """
        self._check_allowed(request)
        name = request.model_name
        config, files = _load_parameters(request.parameters)
        model = self._repository.stored.get(name)
        if model is None or (files and config is None):
            raise _not_polled(name)
        if files:
            # The real server writes such files to a folder of its own.
            raise invalid(f"failed to load '{name}', {_NO_FILES}")
        if config is not None:
            self._repository.load(_configured(model, config))
        elif not self._repository.is_ready(name):
            self._repository.load(model)

    def unload(self, request: Any) -> None:
        """Unload a model; one that does not exist counts as unloaded.

        Raises:
            StatusError: clients may not do so, or a parameter is wrong.
        """
        self._check_allowed(request)
        for name, value in request.parameters.items():
            if name == "unload_dependents" and value.WhichOneof("parameter_choice") != "bool_param":
                raise invalid(f"invalid value type for '{name}' parameter, expected bool_param.")
        if request.model_name in self._repository.models:
            self._repository.set_ready(request.model_name, ready=False, reason=_UNLOADED)

    def _check_allowed(self, request: Any) -> None:
        if request.repository_name:
            raise StatusError("UNIMPLEMENTED", "'repository_name' specification is not supported")
        if not self._repository.explicit:
            raise StatusError(
                "UNAVAILABLE", "explicit model load / unload is not allowed if polling is enabled"
            )


def _load_parameters(parameters: Any) -> tuple[str | None, bool]:
    """Return the configuration in the parameters of a load, if there is one, and whether there are files."""
    config, files = None, False
    for name, value in parameters.items():
        is_file = name.startswith("file:")
        if name != "config" and not is_file:
            raise invalid(f"unrecognized load parameter '{name}'.")
        expected = "bytes_param" if is_file else "string_param"
        if value.WhichOneof("parameter_choice") != expected:
            raise invalid(f"invalid value type for load parameter '{name}', expected {expected}.")
        files = files or is_file
        config = config if is_file else value.string_param
    return config, files


def _not_polled(name: str) -> StatusError:
    return StatusError("INTERNAL", f"failed to load '{name}', failed to poll from model repository")


def _configured(model: ServedModel, text: str) -> ServedModel:
    """Return a model with the configuration of this JSON text."""
    config = wire.pb.model__config__pb2.ModelConfig()
    try:
        json_format.Parse(text, config)
    except (json_format.ParseError, ValueError, RecursionError):
        raise _not_polled(model.name) from None
    if config.name not in ("", model.name) or config.max_batch_size < 0:
        raise _not_polled(model.name)
    fault = _fault(config, model.name)
    if fault:
        raise invalid(
            f"load failed for model '{model.name}': version {model.versions[-1]} is at UNAVAILABLE state: "
            f"Invalid argument: {fault};\n"
        )
    return replace(model, signature=_completed(config, model.signature))


def _fault(config: Any, name: str) -> str:
    """Return why a model with this configuration cannot run; empty if it can."""
    if config.backend not in _BACKENDS:
        return (
            f"unable to find backend library for backend '{config.backend}', try specifying runtime on the model "
            "configuration."
        )
    for kind, items in (("input", config.input), ("output", config.output)):
        for item in items:
            subject = f"model {kind} '{item.name}'"
            if not item.name:
                return f"model {kind} must specify 'name' for {name}"
            if not item.data_type:
                return f"{subject} must specify 'data_type' for {name}"
            if not item.dims:
                return f"{subject} must specify 'dims' for {name}"
            if any(size < 1 and size != -1 for size in item.dims):
                return (
                    f"{subject} dimension must be integer >= 1, or -1 to indicate a variable-size dimension "
                    f"for {name}"
                )
    return ""


def _completed(config: Any, own: ModelSignature) -> ModelSignature:
    """Return the signature of a configuration, with the model's own where it says nothing."""
    given = signature_from_config(config)
    decides = config.HasField("model_transaction_policy")
    return replace(
        given,
        name=own.name,
        inputs=given.inputs or own.inputs,
        outputs=given.outputs or own.outputs,
        decoupled=given.decoupled if decides else own.decoupled,
        max_batch_size=given.max_batch_size or own.max_batch_size,
        backend=given.backend or own.backend,
        platform=given.platform or own.platform,
    )
