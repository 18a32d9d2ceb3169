"""`ServerClient`: what a server is and has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from nupic_client._connected import Connected
from nupic_client._core.calls import flows
from nupic_client._core.calls.models import wait_until_ready
from nupic_client._core.calls.server import ServerQueries
from nupic_client._public import publish
from nupic_client.config import TLS, BearerTokenSource, ClientConfig, check_metadata
from nupic_client.endpoint import UrlLike
from nupic_client.logs import switch_on
from nupic_client.registry import ModelRegistry, default_registry
from nupic_client.server_info import ModelInfo, ModelStatistics, ServerInfo
from nupic_client.signature import ModelSignature
from nupic_client.timeouts import Timeouts

__all__ = ["ServerClient"]


class ServerClient(Connected):
    """Ask a server about itself and its models, and load and unload them.

    Thread-safe and task-safe. Every method blocks for at most ``timeout`` seconds; its twin with an ``a`` in front awaits.

    Args:
        url: as for `StreamingClient`.
        timeout: seconds for each call; None for no limit.
        metadata: gRPC metadata (HTTP/2 headers) sent with each call.
        registry: where friendly names are from.
        tls: certificates and names for a ``grpcs://`` url.
        bearer_token: a bearer token, or a function that returns it, see `StreamingClient`.
        allow_insecure_token: send the token in plain text to another machine.
        channel_options: gRPC channel arguments by name, put over the defaults.

    Raises:
        ConfigurationError: an argument is wrong. Nothing is sent by the constructor.

    Example:
        .. code-block:: python

            from nupic_client import ServerClient

            with ServerClient("localhost:8001") as server:
                for model in server.models():
                    print(model.name, model.state, model.streams)
    """

    def __init__(
        self,
        url: UrlLike | None = None,
        *,
        timeout: float | None = 30.0,
        metadata: Mapping[str, str | bytes] | None = None,
        registry: ModelRegistry | None = None,
        tls: TLS | None = None,
        bearer_token: BearerTokenSource | None = None,
        allow_insecure_token: bool = False,
        channel_options: Mapping[str, str | int] | None = None,
    ) -> None:
        switch_on(os.environ)
        self._config = ClientConfig.create(
            url,
            environ=os.environ,
            tls=tls,
            channel_options=channel_options,
            bearer_token=bearer_token,
            allow_insecure_token=allow_insecure_token,
        )
        self._registry = registry or default_registry()
        self._metadata = tuple(check_metadata(metadata or {}).items())
        self._timeout = Timeouts.of(timeout).total
        self._queries = ServerQueries(self._timeout, self._metadata)
        self._begin()

    @property
    def url(self) -> str:
        """The server, as gRPC addresses it."""
        return str(self._config.endpoint)

    def is_live(self) -> bool:
        """Return whether the server runs. A server that cannot be reached does not.

        Raises:
            RequestError: it answers otherwise than a server of this protocol, or certificates or credentials are wrong.
        """
        return self._transport.run(self._queries.is_live())

    async def ais_live(self) -> bool:
        """Return whether the server runs; the async twin of `is_live`."""
        return await self._async_transport.run(self._queries.is_live())

    def is_ready(self) -> bool:
        """Return whether the server takes requests. A server that cannot be reached does not.

        Raises:
            RequestError: as for `is_live`.
        """
        return self._transport.run(self._queries.is_ready())

    async def ais_ready(self) -> bool:
        """Return whether the server takes requests; the async twin of `is_ready`."""
        return await self._async_transport.run(self._queries.is_ready())

    def metadata(self) -> ServerInfo:
        """Return the server's name, version and extensions.

        Raises:
            RequestError: the call failed.
        """
        return self._transport.run(self._queries.metadata())

    async def ametadata(self) -> ServerInfo:
        """Return the server's name, version and extensions; the async twin of `metadata`."""
        return await self._async_transport.run(self._queries.metadata())

    def models(self, *, details: bool = True) -> list[ModelInfo]:
        """Return the models of the server, sorted by name and version.

        Args:
            details: also ask each model that is ready whether it streams and what runs it: one round trip each.

        Raises:
            RequestError: the call failed; a server may restrict this one.
        """
        return self._transport.run(self._queries.models(self._registry, details=details))

    async def amodels(self, *, details: bool = True) -> list[ModelInfo]:
        """Return the models of the server; the async twin of `models`."""
        return await self._async_transport.run(self._queries.models(self._registry, details=details))

    def is_model_ready(self, model: str, version: str = "") -> bool:
        """Return whether a model takes requests. One that does not exist, on a server that answers, does not.

        Note that a model whose process died goes on saying that it is ready (seen on Triton 2.51.0).

        Args:
            model: the server's name or a friendly name.
            version: its version; empty for the server's choice.

        Raises:
            RequestError: as for `is_live`.
        """
        return self._transport.run(self._queries.is_model_ready(self._name(model), version))

    async def ais_model_ready(self, model: str, version: str = "") -> bool:
        """Return whether a model takes requests; the async twin of `is_model_ready`."""
        return await self._async_transport.run(self._queries.is_model_ready(self._name(model), version))

    def signature(self, model: str, version: str = "") -> ModelSignature:
        """Return what a model takes and gives: inputs, outputs, whether it streams, its backend and parameters.

        Args:
            model: the server's name or a friendly name.
            version: its version; empty for the server's choice.

        Raises:
            ModelUnavailableError: the server does not have the model.
            RequestError: the call failed.
        """
        return self._transport.run(self._queries.signature(self._name(model), version))

    async def asignature(self, model: str, version: str = "") -> ModelSignature:
        """Return what a model takes and gives; the async twin of `signature`."""
        return await self._async_transport.run(self._queries.signature(self._name(model), version))

    def statistics(self, model: str = "", version: str = "") -> list[ModelStatistics]:
        """Return what a model has done since the server started.

        Args:
            model: the server's name or a friendly name; empty for all models.
            version: its version; empty for all.

        Raises:
            ModelUnavailableError: the server does not have the model.
            RequestError: the call failed.
        """
        return self._transport.run(self._queries.statistics(self._name(model), version))

    async def astatistics(self, model: str = "", version: str = "") -> list[ModelStatistics]:
        """Return what a model has done since the server started; the async twin of `statistics`."""
        return await self._async_transport.run(self._queries.statistics(self._name(model), version))

    def load(self, model: str, *, config: str | Mapping[str, Any] | None = None) -> None:
        """Load a model, or load it again. Returns when it is loaded.

        Works on servers that run with explicit model control (Triton's ``--model-control-mode=explicit``).

        Args:
            model: the server's name or a friendly name.
            config: a model configuration, as JSON or as a mapping, in place of the one in the repository.

        Raises:
            ConfigurationError: ``config`` is neither.
            RequestError: the server refuses, or the model cannot be loaded.
        """
        self._transport.run(self._queries.load(self._name(model), config))

    async def aload(self, model: str, *, config: str | Mapping[str, Any] | None = None) -> None:
        """Load a model; the async twin of `load`."""
        await self._async_transport.run(self._queries.load(self._name(model), config))

    def unload(self, model: str, *, dependents: bool = False) -> None:
        """Unload a model. Returns when the server has taken the order, which may be before it is done.

        Args:
            model: the server's name or a friendly name.
            dependents: also those that were loaded for its sake, such as the steps of an ensemble.

        Raises:
            RequestError: the server refuses.
        """
        self._transport.run(self._queries.unload(self._name(model), dependents=dependents))

    async def aunload(self, model: str, *, dependents: bool = False) -> None:
        """Unload a model; the async twin of `unload`."""
        await self._async_transport.run(self._queries.unload(self._name(model), dependents=dependents))

    def wait_until_ready(self, model: str = "", timeout: float | None = 60.0) -> None:
        """Block until the server, and the model if one is named, is ready.

        Args:
            model: the server's name or a friendly name; empty for the server alone.
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: not ready in time; it says what was missing.
            RequestError: waiting cannot help, e.g. wrong credentials.
        """
        self._transport.run(self._readiness(model, timeout))

    async def await_until_ready(self, model: str = "", timeout: float | None = 60.0) -> None:
        """Wait until the server, and the model if one is named, is ready; the async twin of `wait_until_ready`."""
        await self._async_transport.run(self._readiness(model, timeout))

    def __repr__(self) -> str:
        return f"ServerClient(url={self.url!r})"

    def _name(self, model: str) -> str:
        return self._registry.resolve(model).server_name if model else ""

    def _readiness(self, model: str, timeout: float | None) -> flows.Flow[None]:
        return wait_until_ready(
            self._name(model), timeout=Timeouts.of(timeout).total, target=self.url, metadata=self._metadata
        )


publish(__name__)
