"""The questions to a server, as flows: see `nupic_client._core.calls.flows`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nupic_client._core.calls.flows import Flow, Invoke, Metadata
from nupic_client._core.calls.models import describe_model
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.server_words import core_of
from nupic_client._text import check_text
from nupic_client.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    RequestError,
    RequestRejectedError,
)
from nupic_client.naming import parse_model_name
from nupic_client.prompts import guess_family
from nupic_client.registry import ModelRegistry
from nupic_client.server_info import Durations, ModelInfo, ModelStatistics, ServerInfo
from nupic_client.signature import ModelSignature

__all__ = ["ServerQueries"]


class ServerQueries:
    """The questions to one server.

    Args:
        timeout: seconds for each call, or None for no limit.
        metadata: sent with each call.
    """

    def __init__(self, timeout: float | None, metadata: Metadata) -> None:
        self._timeout = timeout
        self._metadata = metadata

    def is_live(self) -> Flow[bool]:
        """Ask whether the server is live; False for one that cannot be reached."""
        return self._flag("ServerLive", lambda response: response.live)

    def is_ready(self) -> Flow[bool]:
        """Ask whether the server is ready; False for one that cannot be reached."""
        return self._flag("ServerReady", lambda response: response.ready)

    def is_model_ready(self, model: str, version: str) -> Flow[bool]:
        """Ask whether a model is ready; False for one that does not exist."""
        return self._flag("ModelReady", lambda response: response.ready, name=model, version=version)

    def metadata(self) -> Flow[ServerInfo]:
        """Ask for the server's name, version and extensions."""
        response = yield self._invoke("ServerMetadata")
        return ServerInfo(name=response.name, version=response.version, extensions=tuple(response.extensions))

    def signature(self, model: str, version: str) -> Flow[ModelSignature]:
        """Ask for the signature of a model."""
        check_text("model", model, parameter="model")
        check_text("version", version, parameter="version")
        return (yield from describe_model(model, version, timeout=self._timeout, metadata=self._metadata))

    def models(self, registry: ModelRegistry, *, details: bool) -> Flow[list[ModelInfo]]:
        """Ask for all models, and with ``details`` for the configuration of each ready one."""
        index = yield self._invoke("RepositoryIndex")
        models = []
        for entry in index.models:
            signature = None
            if details and _state(entry) == "READY":
                signature = yield from self._signature_if_available(entry.name, entry.version)
            models.append(_model_info(entry, registry, signature))
        return sorted(models, key=lambda model: (model.name, model.version))

    def statistics(self, model: str, version: str) -> Flow[list[ModelStatistics]]:
        """Ask for the statistics of a model; without a name, of all models."""
        response = yield self._invoke("ModelStatistics", name=model, version=version)
        return [_statistics(entry) for entry in response.model_stats]

    def load(self, model: str, config: str | Mapping[str, Any] | None) -> Flow[None]:
        """Ask the server to load a model."""
        check_text("model", model, parameter="model")
        request = wire.pb.RepositoryModelLoadRequest(model_name=model)
        if config is not None:
            request.parameters["config"].string_param = _config_json(config)
        try:
            yield Invoke("RepositoryModelLoad", request, self._timeout, self._metadata)
        except RequestError as error:
            failure = self._not_loaded(error, model, configured=config is not None)
            raise failure from error.__cause__

    def _not_loaded(self, error: RequestError, model: str, *, configured: bool) -> RequestError:
        """Return the error of a request to load a model, which is about the model and not about inputs."""
        if isinstance(error, DeadlineExceededError):
            within = "in time" if self._timeout is None else f"within the timeout of {self._timeout:g} s"
            message = (
                f"model {model!r} was not loaded {within}: the server goes on loading it. Wait for it with"
                " wait_until_ready, or give load a longer timeout"
            )
            return error.with_facts(message=message, limit=self._timeout, model=model)
        named = error.completed(model=model)
        said = core_of(error.server_message)
        if isinstance(error, ModelUnavailableError):
            # Triton answers a configuration that it cannot read as if the model were not in its repository.
            hint = ": check that it is in the repository" if said.endswith("model repository") else ""
            hint += " and that the configuration is right" if hint and configured else ""
        elif isinstance(error, InferenceError) or error.status == "INVALID_ARGUMENT":
            hint = ": check its configuration" if configured else ""
        else:
            return named  # who asks, capacity or the connection; or the server does not load models at all
        message = f"the server could not load model {model!r}{hint}" + (f": {said}" if said else "")
        kind = (
            RequestRejectedError
            if isinstance(error, RequestRejectedError) and configured
            else ModelUnavailableError
        )
        return kind(
            message,
            model=model,
            target=error.target,
            status=error.status,
            server_message=error.server_message,
            retryable=error.retryable,
        )

    def unload(self, model: str, *, dependents: bool) -> Flow[None]:
        """Ask the server to unload a model."""
        check_text("model", model, parameter="model")
        request = wire.pb.RepositoryModelUnloadRequest(model_name=model)
        request.parameters["unload_dependents"].bool_param = dependents
        yield Invoke("RepositoryModelUnload", request, self._timeout, self._metadata)

    def _invoke(self, method: str, **fields: str) -> Invoke:
        for field, text in fields.items():
            parameter = "model" if field == "name" else field
            check_text(parameter, text, parameter=parameter)
        return Invoke(method, wire.METHODS[method][0](**fields), self._timeout, self._metadata)

    def _flag(self, method: str, read: Callable[[Any], bool], **fields: str) -> Flow[bool]:
        try:
            response = yield self._invoke(method, **fields)
        except ConnectionFailedError as error:
            if not error.retryable:  # the server is there, but a certificate is wrong
                raise
            return False
        except (ModelUnavailableError, DeadlineExceededError):
            return False
        return read(response)

    def _signature_if_available(self, model: str, version: str) -> Flow[ModelSignature | None]:
        try:
            return (yield from self.signature(model, version))
        except (ModelUnavailableError, RequestRejectedError):
            return None  # it was unloaded just now, or the server does not say


def _state(entry: Any) -> str:
    """Return the state of a model in Triton's words; MLServer sends the names of Python's enum, as State.READY."""
    return str(entry.state).rpartition(".")[2]


def _config_json(config: object) -> str:
    if isinstance(config, Mapping):
        try:
            return json.dumps(config)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"config cannot be sent as JSON: {error}", parameter="config") from None
    if not isinstance(config, str):
        raise ConfigurationError(
            f"config must be JSON text or a mapping, not {type(config).__name__}", parameter="config"
        )
    check_text("config", config, parameter="config")
    return config


def _model_info(entry: Any, registry: ModelRegistry, signature: ModelSignature | None) -> ModelInfo:
    spec = registry.get(entry.name)
    return ModelInfo(
        name=entry.name,
        version=entry.version,
        state=_state(entry),
        reason=entry.reason,
        streams=None if signature is None else signature.decoupled,
        backend="" if signature is None else signature.backend or signature.platform,
        family=spec.family if spec is not None and spec.family else guess_family(entry.name),
        friendly_name=None if spec is None else spec.name,
        parts=parse_model_name(entry.name),
    )


def _statistics(entry: Any) -> ModelStatistics:
    parts = {
        name: Durations(
            count=getattr(entry.inference_stats, name).count,
            total=getattr(entry.inference_stats, name).ns / 1e9,
        )
        for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    }
    return ModelStatistics(
        name=entry.name,
        version=entry.version,
        inference_count=entry.inference_count,
        execution_count=entry.execution_count,
        **parts,
    )
