"""A streamed answer that a task reads to its end, as one of many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from nupic_client._async.call_stream import AsyncCallStream
from nupic_client._core.calls.session import StreamSession
from nupic_client.errors import NupicError, RequestError

if TYPE_CHECKING:
    from nupic_client._async.driver import AsyncDriver

__all__ = ["Answer"]


class Answer(AsyncCallStream[StreamSession[Any], Any]):
    """One attempt at an answer.

    Args:
        transport: the connection.
        session: the state of the request, which `read_all` sends.
    """

    def __init__(self, transport: AsyncDriver, session: StreamSession[Any]) -> None:
        super().__init__(transport, session, session.request_id)
        self._session: StreamSession[Any] | None = session
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> AsyncIterator[Any]:
        raise NotImplementedError

    async def read_all(self) -> None:
        """Send the request and read its answer to the end.

        Raises:
            NupicError: the attempt failed. If the session is still running, the request may be sent again.
        """
        session = self._session
        assert session is not None  # noqa: S101 - for type checkers
        try:
            await self._start(session)
            await self._receive(session, whole=True)
        except BaseException as error:
            session.deadlines.waiting = None
            if session.running and isinstance(error, RequestError):
                self._session = None  # the next attempt's; this object must not end it
                self._call.end(session.patience)  # also the call of an error inside a stream, which may go on
                raise error.with_traceback(None)  # noqa: B904 - users need not see what passed it on
            if session.complete and isinstance(error, NupicError):
                await self._call.last_events(session.patience)
            self._leave(self._later(error), abruptly=not isinstance(error, NupicError), error=error)
            if isinstance(error, RequestError):
                raise error.with_traceback(None)  # noqa: B904
            raise
        session.deadlines.waiting = None
        self._leave()
