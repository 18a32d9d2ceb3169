"""The base of all clients: a connection for sync calls, one for async calls, and their end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import Self

from nupic_client._async.driver import AsyncDriver
from nupic_client._async.transport import AsyncTransport
from nupic_client._core.calls.auth import Bearer
from nupic_client._sync.driver import StreamDriver
from nupic_client._sync.transport import Transport
from nupic_client.config import ClientConfig
from nupic_client.endpoint import Endpoint

if TYPE_CHECKING:
    from nupic_client._grpc.server_pool import ServerPool

__all__ = ["Connected"]


class Connected:
    """The life of a client's connection, and copies of a client. Subclasses set ``_config``.

    A copy has the configuration only: it makes its own connection and asks the server itself.
    """

    _config: ClientConfig
    _transport: StreamDriver
    _async_transport: AsyncDriver
    _own: ClassVar[frozenset[str]] = frozenset({"_bearer", "_pool", "_transport", "_async_transport"})
    """Names of the attributes that a copy creates itself."""

    def _begin(self) -> None:
        """Set the attributes that a copy creates itself."""
        self._bearer = Bearer.of(self._config.bearer_token)
        self._pool: ServerPool | None = None
        if not self._config.is_pool:
            self._transport = Transport(self._config, self._bearer)
            self._async_transport = AsyncTransport(self._config, self._bearer)
            return
        from nupic_client._async.pool import AsyncPooledTransport  # noqa: PLC0415 - most clients have one server
        from nupic_client._grpc.server_pool import ServerPool  # noqa: PLC0415
        from nupic_client._sync.pool import PooledTransport  # noqa: PLC0415

        self._pool = ServerPool(self._config)
        self._transport = PooledTransport(self._pool, self._bearer)
        self._async_transport = AsyncPooledTransport(self._pool, self._bearer)

    def endpoints(self) -> list[Endpoint]:
        """Return the servers of this client as they are now. Does not block, sends nothing; thread-safe.

        The servers of a ``dns:///`` name are known from the first call on. A client with one server does not count, and
        knows its address only.
        """
        if self._pool is None:
            return [Endpoint(address=str(self._config.server))]
        return self._pool.endpoints()

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
