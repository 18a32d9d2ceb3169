"""The base of the clients for one model over gRPC."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from typing_extensions import Unpack

from nupic_client._connected import Connected
from nupic_client._core.calls import flows
from nupic_client._core.calls.readiness import wait_until_ready
from nupic_client._option_signatures import named_options
from nupic_client._single_model import SingleModelClient, Tokenizer
from nupic_client.backends.protocol import Backend
from nupic_client.config import TLS, BearerTokenSource, ClientConfig
from nupic_client.endpoint import Balancing
from nupic_client.observe import Observer
from nupic_client.options import GenerateOptions
from nupic_client.prompts import PromptFormatter
from nupic_client.registry import ModelRegistry
from nupic_client.server_url import UrlLike

__all__ = ["ModelClient"]


@named_options
class ModelClient(SingleModelClient, Connected):
    """A client for one model; its arguments are documented on the classes that extend it."""

    _own = Connected._own | {"_models", "_request_cache", "_requests"}  # noqa: SLF001 - of its own base class

    def __init__(
        self,
        model: str,
        url: UrlLike | None = None,
        *,
        formatter: PromptFormatter | str | None = None,
        registry: ModelRegistry | None = None,
        backend: Backend | str | None = None,
        tls: TLS | None = None,
        bearer_token: BearerTokenSource | None = None,
        allow_insecure_token: bool = False,
        channel_options: Mapping[str, str | int] | None = None,
        observer: Observer | None = None,
        balancing: Balancing = "least-busy",
        max_outstanding: int | None = None,
        tokenizer: Tokenizer | None = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        self._configure(
            model,
            formatter=formatter,
            registry=registry,
            backend=backend,
            observer=observer,
            options=options,
            tokenizer=tokenizer,
        )
        self._config = ClientConfig.create(
            url,
            environ=os.environ,
            tls=tls,
            bearer_token=bearer_token,
            allow_insecure_token=allow_insecure_token,
            channel_options=channel_options,
            connect_timeout=self._options.timeouts.connect,
            balancing=balancing,
            max_outstanding=max_outstanding,
        )
        self._begin()

    def __init_subclass__(cls) -> None:
        """Give a class a constructor of its own name, for the errors of a call that does not fit it."""
        super().__init_subclass__()
        if "__init__" not in vars(cls):
            cls.__init__ = _renamed(cls.__init__, f"{cls.__name__}.__init__")  # type: ignore[method-assign]

    def _begin(self) -> None:
        super()._begin()
        self._begin_model()

    @property
    def url(self) -> str:
        """The server, as gRPC addresses it."""
        return str(self._config.server)

    def wait_until_ready(self, timeout: float | None = 60.0) -> None:
        """Block until the server and the model are ready. Thread-safe.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: not ready in time; it says what was missing.
            RequestError: waiting cannot help, e.g. wrong credentials.
        """
        self._transport.run(self._readiness(timeout))

    async def await_until_ready(self, timeout: float | None = 60.0) -> None:
        """Wait until the server and the model are ready; the async twin of `wait_until_ready`.

        Args:
            timeout: seconds; None waits without limit.

        Raises:
            DeadlineExceededError: as for `wait_until_ready`.
            RequestError: as for `wait_until_ready`.
        """
        await self._async_transport.run(self._readiness(timeout))

    def _readiness(self, timeout: float | None) -> flows.Flow[None]:
        return wait_until_ready(
            self._spec.server_name, timeout=timeout, target=self.url, metadata=self._options.metadata
        )


def _renamed(function: Any, name: str) -> Any:
    copied = FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__dict__.update(vars(function))
    copied.__annotations__ = function.__annotations__
    copied.__doc__, copied.__module__, copied.__qualname__ = function.__doc__, function.__module__, name
    return copied
