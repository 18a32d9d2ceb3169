"""A streamed answer that a task reads to its end, as one of many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from nupic_client._async.call_stream import AsyncCallStream
from nupic_client._core.calls.session import StreamSession
from nupic_client._grpc import fork
from nupic_client.errors import NupicError, RequestError

if TYPE_CHECKING:
    from nupic_client._async.transport import AsyncTransport

__all__ = ["read_answer"]


class _Answer(AsyncCallStream[StreamSession[Any], Any]):
    """One attempt at an answer."""

    def __aiter__(self) -> AsyncIterator[Any]:
        raise NotImplementedError

    async def read_all(self, session: StreamSession[Any]) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        try:
            await self._start(session)
            fork.track(self)
            while await self._receive(session) or session.outputs_only:
                pass
        except BaseException as error:
            session.deadlines.waiting = None
            if session.running and isinstance(error, RequestError):  # it may be sent again
                self._call.end(session.patience)
                raise error.with_traceback(None) from error.__cause__
            if session.complete and isinstance(error, NupicError):
                await self._call.last_events(session.patience)
            self._leave(abruptly=not isinstance(error, NupicError))
            if isinstance(error, RequestError):
                raise error.with_traceback(None)  # noqa: B904 - users need not see what passed it on
            raise
        finally:
            session.deadlines.waiting = None
        self._leave()


async def read_answer(transport: AsyncTransport, session: StreamSession[Any]) -> None:
    """Send the request of a session, once, and read its answer to the end.

    Raises:
        NupicError: the attempt failed. If the session is still running, the request may be sent again.
    """
    await _Answer(transport, session, session.request_id).read_all(session)
