"""Calls to one of several servers from asyncio, each over a channel of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nupic_client._async.driver import AsyncDriver
from nupic_client._async.transport import AsyncTransport, running_loop
from nupic_client._core.calls import flows
from nupic_client._core.calls.readiness import answers
from nupic_client._grpc import fork
from nupic_client._grpc.pooled_call import PooledCall, attempt_of, with_time_left
from nupic_client._grpc.server_pool import Place, ServerPool
from nupic_client.errors import ConfigurationError, RequestError

if TYPE_CHECKING:
    from nupic_client._core.balance.servers import Probe
    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.session import StreamSession
    from nupic_client._grpc.call import AsyncStreamCall

__all__ = ["AsyncPooledTransport"]


class AsyncPooledTransport(AsyncDriver):
    """An `AsyncTransport` for each server, made at its first call. Usable from any loop and thread.

    Args:
        pool: the servers.
        bearer: adds the token to each call.
    """

    def __init__(self, pool: ServerPool, bearer: Bearer | None = None) -> None:
        super().__init__(bearer)
        self._pool = pool
        self._probes: set[asyncio.Task[None]] = set()
        """Keeps these tasks alive: the loop has only weak references."""
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._members: dict[str, AsyncTransport] = {}

    def _after_fork(self) -> None:
        """Start over in a forked child; each member drops what is the parent's itself."""
        fork.leak_in_child(
            self._probes, self._members
        )  # until each member has done the same with its channels
        self._probes = set()
        self._begin()

    async def stream(self, session: StreamSession[Any]) -> AsyncStreamCall:
        """Start a ``ModelStreamInfer`` call on one of the servers and return it."""
        patience = session.patience_in_queue(time.monotonic())
        place = await self._enter(session.model, session.affinity, session.tried, patience, session)
        session.place(place)
        try:
            return await self._member(place.address).stream(session)
        except BaseException:
            place.release()
            raise

    async def begin(self, command: flows.Invoke) -> PooledCall:
        """Start a unary call on one of the servers and return it, for `finish`."""
        model, affinity, tried = attempt_of(command, several=self._pool.several)
        place = await self._enter(model, affinity, tried, command.timeout)
        if command.attempts is not None:
            command.attempts.endpoint = place.address
        command = with_time_left(command, time.monotonic() - place.start)
        try:
            member = self._member(place.address)
            return PooledCall(await member.begin(command), member, place, command.attempts)
        except BaseException:
            place.release()
            raise

    async def finish(self, call: PooledCall) -> Any:
        """Wait for a call that `begin` started and return its response.

        Raises:
            RequestError: the call failed.
        """
        try:
            response = await call.member.finish(call.call)
        except RequestError as error:
            tried = () if call.attempts is None else call.attempts.tried
            raise call.place.failed(error, tried) from error.__cause__
        call.place.answered()
        return response

    def explain(self, error: RequestError) -> RequestError:
        """Return the error of a call, with what is known about the way to the server."""
        member = self._members.get(error.target)
        return error if member is None else member.explain(error)

    async def aclose(self) -> None:
        """Close all channels, which ends their calls; waits at most 0.25 s for calls that are ending. Idempotent."""
        members = self._take()
        await asyncio.gather(*(member.aclose() for member in members))

    def close(self) -> None:
        """Close all channels without waiting, from any thread."""
        for member in self._take():
            member.close()

    def _take(self) -> list[AsyncTransport]:
        with self._lock:
            self.closed = True
            members = [*self._members.values()]
        self._pool.close()
        return members

    async def _enter(
        self,
        model: str,
        affinity: Any,
        tried: Any,
        patience: float | None,
        session: StreamSession[Any] | None = None,
    ) -> Place:
        """Return a place on a server; waits in the queue if all are full.

        Raises:
            ConfigurationError: the client is closed.
            RequestError: no name could be resolved, or no server had room in time.
        """
        self.check_open()
        loop = running_loop()
        if self._pool.is_new:
            await self._look_up()
        for probe in self._pool.refresh():
            task = loop.create_task(self._probe(probe))
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)
        signal: asyncio.Future[None] = loop.create_future()
        place = self._pool.enter(model, affinity, tried, lambda: _wake(loop, signal))
        if place.address:
            return place
        try:
            if session is not None:
                session.placement = place  # leaving the stream ends the wait
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(signal, patience)
            self.check_open()
            self._pool.check_taken(place, patience, session)
        except BaseException:
            place.release()
            raise
        return place

    async def _look_up(self) -> None:
        if self._pool.has_names:
            await asyncio.to_thread(self._pool.look_up)
        else:
            self._pool.look_up()

    def _member(self, address: str) -> AsyncTransport:
        member = self._members.get(address)
        if member is not None:
            return member
        with self._lock:
            self.check_open()
            known = self._pool.known
            for gone in [each for each in self._members if each not in known]:
                self._members.pop(gone).close()
            member = self._members.get(address)
            if member is None:
                member = self._members[address] = AsyncTransport(self._pool.config_of(address), self._bearer)
        return member

    async def _probe(self, probe: Probe) -> None:
        ready = False
        with suppress(RequestError, ConfigurationError):
            ready = await self._member(probe.address).run(answers(probe.model))
        self._pool.probed(probe, ready=ready)


def _wake(loop: asyncio.AbstractEventLoop, signal: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(_set, signal)


def _set(signal: asyncio.Future[None]) -> None:
    if not signal.done():
        signal.set_result(None)
