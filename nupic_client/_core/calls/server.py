"""The questions to a server, as flows: see `nupic_client._core.calls.flows`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nupic_client._core.calls.flows import Flow
from nupic_client._core.calls.loading import load_model
from nupic_client._core.calls.models import describe_model
from nupic_client._core.calls.queries import Queries
from nupic_client._core.calls.statistics import statistics_of
from nupic_client._core.kserve import wire
from nupic_client._text import check_text
from nupic_client.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
    RequestRejectedError,
)
from nupic_client.naming import parse_model_name
from nupic_client.prompts import guess_family
from nupic_client.registry import ModelRegistry
from nupic_client.server_info import ModelInfo, ModelStatistics, ServerInfo
from nupic_client.signature import ModelSignature

__all__ = ["ServerQueries"]


class ServerQueries(Queries):
    """The questions to one server.

    Args:
        timeout: seconds for each call, or None for no limit.
        metadata: sent with each call.
    """

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

    def model_config(self, model: str, version: str) -> Flow[dict[str, Any]]:
        """Ask for the configuration of a model, with the names of its fields in the protocol."""
        from google.protobuf import json_format  # noqa: PLC0415 - nothing else needs it

        response = yield self._invoke("ModelConfig", name=model, version=version)
        return json_format.MessageToDict(response.config, preserving_proto_field_name=True)

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
        return [statistics_of(entry) for entry in response.model_stats]

    def load(
        self,
        model: str,
        config: str | Mapping[str, Any] | None,
        files: Mapping[str, bytes] | None = None,
    ) -> Flow[None]:
        """Ask the server to load a model. Raises as `load_model`."""
        return load_model(model, config, files, timeout=self._timeout, metadata=self._metadata)

    def unload(self, model: str, *, dependents: bool) -> Flow[None]:
        """Ask the server to unload a model."""
        check_text("model", model, parameter="model")
        request = wire.pb.RepositoryModelUnloadRequest(model_name=model)
        request.parameters["unload_dependents"].bool_param = dependents
        yield self._send("RepositoryModelUnload", request)

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
