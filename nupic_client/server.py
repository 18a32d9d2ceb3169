"""`ServerClient`: questions to a server about itself and its models, loading of models, settings and shared memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, TypeAlias

from nupic_client._core.calls import flows
from nupic_client._core.calls.metadata import metadata_over
from nupic_client._core.calls.readiness import wait_until_ready
from nupic_client._core.calls.server import ServerQueries
from nupic_client._core.calls.server_settings import SettingsQueries
from nupic_client._core.calls.shared_memory_calls import SharedMemoryCalls
from nupic_client._model_files import read_model_files
from nupic_client._public import publish
from nupic_client._repr import client_repr
from nupic_client._server_memory import ServerMemory
from nupic_client._server_settings import ServerSettings
from nupic_client.config import TLS, BearerTokenSource, ClientConfig, MetadataLike
from nupic_client.endpoint import Balancing
from nupic_client.logs import switch_on
from nupic_client.registry import ModelRegistry, default_registry
from nupic_client.server_info import ModelInfo, ModelStatistics, ServerInfo
from nupic_client.server_url import UrlLike
from nupic_client.signature import ModelSignature
from nupic_client.timeouts import Timeouts

__all__ = ["ServerClient"]

LOAD_TIMEOUT = 600.0
"""Seconds that loading a model may take by default."""
ModelFiles: TypeAlias = Mapping[str, "bytes | str | os.PathLike[str]"]
"""Contents of files, or their paths here, by their paths in the model's folder."""


class ServerClient(ServerSettings, ServerMemory):
    """Query a server and its models, load and unload models, change settings and register shared memory.

    Thread-safe and task-safe. Every method blocks for at most ``timeout`` seconds (`load` and
    `wait_until_ready` have a longer one of their own); its twin with the prefix ``a`` awaits.

    Args:
        url: as for `StreamingClient`.
        timeout: seconds for each call; None for no limit.
        metadata: gRPC metadata (HTTP/2 headers) sent with each call, or a function that returns it, called for each call.
        registry: for friendly names of models. Default: the models that come with the package.
        tls: certificates and names for a ``grpcs://`` url.
        bearer_token: a bearer token, or a function that returns it, see `StreamingClient`.
        allow_insecure_token: send the token in plain text to another machine.
        channel_options: gRPC channel arguments by name, which override the defaults.
        balancing: as for `StreamingClient`.
        max_outstanding: as for `StreamingClient`.

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
        metadata: MetadataLike | None = None,
        registry: ModelRegistry | None = None,
        tls: TLS | None = None,
        bearer_token: BearerTokenSource | None = None,
        allow_insecure_token: bool = False,
        channel_options: Mapping[str, str | int] | None = None,
        balancing: Balancing = "least-busy",
        max_outstanding: int | None = None,
    ) -> None:
        switch_on(os.environ)
        self._config = ClientConfig.create(
            url,
            environ=os.environ,
            tls=tls,
            channel_options=channel_options,
            bearer_token=bearer_token,
            allow_insecure_token=allow_insecure_token,
            balancing=balancing,
            max_outstanding=max_outstanding,
        )
        self._registry = registry or default_registry()
        self._metadata = metadata_over((), metadata)
        self._timeout = Timeouts.of(timeout).total
        self._queries = ServerQueries(self._timeout, self._metadata)
        self._settings = SettingsQueries(self._timeout, self._metadata)
        self._memory = SharedMemoryCalls(self._timeout, self._metadata)
        self._begin()

    _own = ServerMemory._own | {"_each"}  # noqa: SLF001 - of its own base class

    def _begin(self) -> None:
        super()._begin()
        self._each: dict[str, ServerClient] = {}

    @property
    def url(self) -> str:
        """The server, as gRPC addresses it."""
        return str(self._config.server)

    def each(self) -> dict[str, ServerClient]:
        """Return a client for each of the servers, by address. Blocks only to look up a ``dns:///`` name; thread-safe.

        They close with this client.

        Raises:
            ConnectionFailedError: the name cannot be resolved.

        Example:
            .. code-block:: python

                with ServerClient(["10.0.0.1:8001", "10.0.0.2:8001"]) as servers:
                    ready = {address: server.is_ready() for address, server in servers.each().items()}
        """
        if self._pool is None:
            return {self.url: self}
        self._transport.check_open()
        self._pool.look_up()
        known = self._pool.known
        for address in known.keys() - self._each.keys():
            self._each[address] = self._of_server(known[address])
        return {address: self._each[address] for address in known}

    def close(self) -> None:
        """Close the connection and cancel its running calls. Returns at once. Idempotent; safe from any thread."""
        super().close()
        for client in tuple(self._each.values()):
            client.close()

    async def aclose(self) -> None:
        """Close the connection and cancel its running calls. Calls that just ended get up to 0.25 seconds."""
        await super().aclose()
        for client in tuple(self._each.values()):
            await client.aclose()

    async def aeach(self) -> dict[str, ServerClient]:
        """Return a client for each of the servers. The async twin of `each`, with the same errors."""
        return await asyncio.to_thread(self.each)

    def is_live(self) -> bool:
        """Return whether the server is live; False for a server that cannot be reached. Blocks; thread-safe.

        Raises:
            AuthenticationError: the server wants other credentials, or restricts this question (Triton's
                ``--grpc-restricted-protocol``): give its header as metadata.
            ConnectionFailedError: a certificate is wrong, or the port is one for HTTP: waiting cannot help.
            RequestError: the answer is not one of this protocol.
        """
        return self._transport.run(self._queries.is_live())

    async def ais_live(self) -> bool:
        """Return whether the server is live. The async twin of `is_live`, with the same arguments and errors."""
        return await self._async_transport.run(self._queries.is_live())

    def is_ready(self) -> bool:
        """Return whether the server is ready; False for a server that cannot be reached. Blocks; thread-safe.

        Raises:
            RequestError: as for `is_live`.
        """
        return self._transport.run(self._queries.is_ready())

    async def ais_ready(self) -> bool:
        """Return whether the server is ready. The async twin of `is_ready`, with the same arguments and errors."""
        return await self._async_transport.run(self._queries.is_ready())

    def metadata(self) -> ServerInfo:
        """Return the server's name, version and extensions. Blocks; thread-safe.

        Raises:
            RequestError: the call failed.
        """
        return self._transport.run(self._queries.metadata())

    async def ametadata(self) -> ServerInfo:
        """Return the server's name, version and extensions. The async twin of `metadata`, with the same errors."""
        return await self._async_transport.run(self._queries.metadata())

    def models(self, *, details: bool = True) -> list[ModelInfo]:
        """Return the models of the server, sorted by name and version. Blocks; thread-safe.

        Args:
            details: also ask for each ready model whether it streams and which backend runs it: one round trip each.

        Raises:
            RequestError: the call failed; servers may restrict this one.
        """
        return self._transport.run(self._queries.models(self._registry, details=details))

    async def amodels(self, *, details: bool = True) -> list[ModelInfo]:
        """Return the models of the server. The async twin of `models`, with the same arguments and errors."""
        return await self._async_transport.run(self._queries.models(self._registry, details=details))

    def is_model_ready(self, model: str, version: str = "") -> bool:
        """Return whether a model is ready; False for a model that the server does not have. Blocks; thread-safe.

        Triton reports a model as ready although its process has died (seen on Triton 2.51.0).

        Args:
            model: the server's name or a friendly name.
            version: its version; empty for the server's choice.

        Raises:
            RequestError: as for `is_live`.
        """
        return self._transport.run(self._queries.is_model_ready(self._name(model), version))

    async def ais_model_ready(self, model: str, version: str = "") -> bool:
        """Return whether a model is ready. The async twin of `is_model_ready`, with the same arguments and errors."""
        return await self._async_transport.run(self._queries.is_model_ready(self._name(model), version))

    def signature(self, model: str, version: str = "") -> ModelSignature:
        """Return a model's inputs and outputs, whether it streams, its backend and parameters. Blocks; thread-safe.

        Args:
            model: the server's name or a friendly name.
            version: its version; empty for the server's choice.

        Raises:
            ModelUnavailableError: the server does not have the model.
            RequestError: the call failed.
        """
        return self._transport.run(self._queries.signature(self._name(model), version))

    async def asignature(self, model: str, version: str = "") -> ModelSignature:
        """Return a model's signature. The async twin of `signature`, with the same arguments and errors."""
        return await self._async_transport.run(self._queries.signature(self._name(model), version))

    def model_config(self, model: str, version: str = "") -> dict[str, Any]:
        """Return a model's whole configuration. Blocks; thread-safe.

        `signature` has the part of it that requests need.

        Args:
            model: the server's name or a friendly name.
            version: its version; empty for the server's choice.

        Returns:
            The fields that are set, with their names in ``config.pbtxt``, as JSON has them: numbers of 64 bits are
            texts, and values of enums are their names. `load` takes it as ``config``.

        Raises:
            ModelUnavailableError: the server does not have the model.
            RequestError: the call failed.

        Example:
            .. code-block:: python

                config = server.model_config("smollm2.streaming")
                config["max_batch_size"] if "max_batch_size" in config else 0
        """
        return self._transport.run(self._queries.model_config(self._name(model), version))

    async def amodel_config(self, model: str, version: str = "") -> dict[str, Any]:
        """Return a model's whole configuration. The async twin of `model_config`, with the same errors."""
        return await self._async_transport.run(self._queries.model_config(self._name(model), version))

    def statistics(self, model: str = "", version: str = "") -> list[ModelStatistics]:
        """Return the statistics of a model since the server started. Blocks; thread-safe.

        Args:
            model: the server's name or a friendly name; empty for all models.
            version: its version; empty for all.

        Raises:
            ModelUnavailableError: the server does not have the model.
            RequestError: the call failed.
        """
        return self._transport.run(self._queries.statistics(self._name(model), version))

    async def astatistics(self, model: str = "", version: str = "") -> list[ModelStatistics]:
        """Return the statistics of a model. The async twin of `statistics`, with the same arguments and errors."""
        return await self._async_transport.run(self._queries.statistics(self._name(model), version))

    def load(
        self,
        model: str,
        *,
        config: str | Mapping[str, Any] | None = None,
        files: ModelFiles | None = None,
        timeout: float | None = LOAD_TIMEOUT,
    ) -> None:
        """Load a model, or load it again. Blocks until it is loaded; thread-safe.

        Requires explicit model control on the server (Triton's ``--model-control-mode=explicit``).

        Args:
            model: the server's name or a friendly name.
            config: a model configuration, as JSON or as a mapping, which replaces the one in the repository.
            files: the model's files, in place of those in the repository, which need not have the model then: the
                content (``bytes``) or the path of a file on this machine, by the path in the model's folder, such as
                ``{"1/model.onnx": "model.onnx"}``. They need ``config`` too, and go to the server in one message.
            timeout: seconds, in place of the client's: large models load for minutes. None for no limit.

        Raises:
            ConfigurationError: ``config`` is neither JSON nor a mapping, or missing beside ``files``; a file has a wrong
                name or cannot be read.
            RequestRejectedError: the server does not load models on request, or refuses the configuration.
            ModelUnavailableError: the server could not load the model; the message says why, as far as the server does.
            DeadlineExceededError: not loaded in time; the server goes on loading it.
            RequestError: the call failed.
        """
        self._transport.run(self._load(model, config, read_model_files(files), timeout))

    async def aload(
        self,
        model: str,
        *,
        config: str | Mapping[str, Any] | None = None,
        files: ModelFiles | None = None,
        timeout: float | None = LOAD_TIMEOUT,
    ) -> None:
        """Load a model. The async twin of `load`, with the same arguments and errors."""
        contents = await asyncio.to_thread(read_model_files, files) if files else {}
        await self._async_transport.run(self._load(model, config, contents, timeout))

    def unload(self, model: str, *, dependents: bool = False) -> None:
        """Unload a model. Blocks until the server has accepted that, which may be before it is done; thread-safe.

        Args:
            model: the server's name or a friendly name.
            dependents: unload also the models that were loaded for it, such as the steps of an ensemble.

        Raises:
            RequestError: the server refuses.
        """
        self._transport.run(self._queries.unload(self._name(model), dependents=dependents))

    async def aunload(self, model: str, *, dependents: bool = False) -> None:
        """Unload a model. The async twin of `unload`, with the same arguments and errors."""
        await self._async_transport.run(self._queries.unload(self._name(model), dependents=dependents))

    def wait_until_ready(self, model: str = "", timeout: float | None = 60.0) -> None:
        """Block until the server, and the model if one is named, is ready. Thread-safe.

        Args:
            model: the server's name or a friendly name; empty for the server alone.
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: not ready in time; it says what was missing.
            RequestError: waiting cannot help, e.g. wrong credentials.
        """
        self._transport.run(self._readiness(model, timeout))

    async def await_until_ready(self, model: str = "", timeout: float | None = 60.0) -> None:
        """Wait until the server, and the model if one is named, is ready.

        The async twin of `wait_until_ready`, with the same arguments and errors.
        """
        await self._async_transport.run(self._readiness(model, timeout))

    def __repr__(self) -> str:
        return client_repr(self)

    def _of_server(self, config: ClientConfig) -> ServerClient:
        client = object.__new__(type(self))
        client.__setstate__({**self.__getstate__(), "_config": config})
        return client

    def _load(
        self,
        model: str,
        config: str | Mapping[str, Any] | None,
        files: Mapping[str, bytes],
        timeout: float | None,
    ) -> flows.Flow[None]:
        queries = ServerQueries(Timeouts.of(timeout).total, self._metadata)
        return queries.load(self._name(model), config, files)

    def _readiness(self, model: str, timeout: float | None) -> flows.Flow[None]:
        return wait_until_ready(
            self._name(model), timeout=Timeouts.of(timeout).total, target=self.url, metadata=self._metadata
        )


publish(__name__)
