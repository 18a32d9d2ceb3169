"""What every client has: a connection for sync and one for async calls, and its end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from nupic_client._async.transport import AsyncTransport
from nupic_client._sync.transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Connected"]


class Connected:
    """The life of a client's connection; the classes that extend it make the transports."""

    _transport: Transport
    _async_transport: AsyncTransport

    def close(self) -> None:
        """Close the connection and cancel what is running on it. Returns at once. Idempotent; safe from any thread."""
        self._transport.close()
        self._async_transport.close()

    async def aclose(self) -> None:
        """Close the connection and cancel what is running on it; the async twin of `close`."""
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
