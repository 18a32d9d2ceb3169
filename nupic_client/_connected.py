"""The base of all clients: a connection for sync calls, one for async calls, and their end."""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar

from typing_extensions import Self

from nupic_client._async.transport import AsyncTransport
from nupic_client._core.calls.auth import Bearer
from nupic_client._sync.transport import Transport
from nupic_client.config import ClientConfig

__all__ = ["Connected"]


class Connected:
    """The life of a client's connection, and copies of a client. Subclasses set ``_config``.

    A copy has the configuration only: it makes its own connection and asks the server itself.
    """

    _config: ClientConfig
    _own: ClassVar[frozenset[str]] = frozenset({"_bearer", "_transport", "_async_transport"})
    """Names of the attributes that a copy creates itself."""

    def _begin(self) -> None:
        """Set the attributes that a copy creates itself."""
        self._bearer = Bearer.of(self._config.bearer_token)
        self._transport = Transport(self._config, self._bearer)
        self._async_transport = AsyncTransport(self._config, self._bearer)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def close(self) -> None:
        """Close the connection and cancel its running calls. Returns at once. Idempotent; safe from any thread."""
        self._transport.close()
        self._async_transport.close()

    async def aclose(self) -> None:
        """Close the connection and cancel its running calls. Calls that just ended get up to 0.25 seconds."""
        self._transport.close()
        await self._async_transport.aclose()

    def __enter__(self) -> Self:
        """Return the client; the end of the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        """Return the client; the end of the block closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
