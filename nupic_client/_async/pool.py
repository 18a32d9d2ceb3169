"""Calls to one of several servers from asyncio, each over a channel of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from nupic_client._async.driver import AsyncDriver
from nupic_client._async.transport import AsyncTransport, running_loop
from nupic_client._core.calls import flows
from nupic_client._core.calls.readiness import answers
from nupic_client._grpc import fork
from nupic_client._grpc.place import Place
from nupic_client._grpc.pooled_call import PooledCall, attempt_of, elsewhere, noted, tried_by, with_time_left
from nupic_client._grpc.server_pool import ServerPool
from nupic_client.errors import RequestError

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
        pool.add(self)
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._members: dict[str, AsyncTransport] = {}
        self._places: dict[asyncio.AbstractEventLoop, WeakSet[Place]] = {}
        """Of the requests of each loop, which may be closed in the middle of them."""

    def _after_fork(self) -> None:
        """Start over in a forked child; each member drops what is the parent's itself."""
        fork.leak(self._probes, self._members)  # until each member has done the same with its channels
        self._probes = set()
        self._begin()

    async def stream(self, session: StreamSession[Any]) -> AsyncStreamCall:
        """Start a ``ModelStreamInfer`` call on one of the servers and return it."""
        session.queue()
        patience = session.patience_in_queue(time.monotonic())
        try:
            place = await self._enter(session.model, session.affinity, session.tried, patience, session)
        except RequestError as error:
            raise session.failed(error, time.monotonic()) from error.__cause__
        session.place(place)
        try:
            return await self._member(place.address).stream(session)
        except BaseException:
            place.release()
            raise

    async def _invoke(self, command: flows.Invoke) -> Any:
        if command.attempts is not None:
            return await self.finish(await self.begin(command))
        start = time.monotonic()
        command = noted(command, start)
        while True:
            try:
                left = with_time_left(command, time.monotonic() - start)
                return await self.finish(await self.begin(left))
            except RequestError as error:
                command = elsewhere(command, error, start, time.monotonic())

    async def begin(self, command: flows.Invoke) -> PooledCall:
        """Start a unary call on one of the servers and return it, for `finish`."""
        model, affinity, tried = attempt_of(command, several=self._pool.several)
        attempts = command.attempts
        if attempts is not None:
            attempts.queued = True
        place = await self._enter(
            model, affinity, tried, command.timeout, attempts=attempts, limited=command.method == "ModelInfer"
        )
        if attempts is not None:
            attempts.endpoint, attempts.queued = place.address, False
        command = with_time_left(command, time.monotonic() - place.start)
        try:
            member = self._member(place.address)
            return PooledCall(await member.begin(command), member, place, attempts)
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
            raise call.place.failed(error, tried_by(call.attempts)) from error.__cause__
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
        attempts: flows.Attempts | None = None,
        *,
        limited: bool = True,
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
        self._look(loop)
        place = self._pool.enter(model, affinity, tried, limited=limited)
        places = self._places.get(loop)
        if places is None:
            self.leave_closed_loops()
            places = self._places[loop] = WeakSet()
        places.add(place)
        if not place.address:
            await self._wait(loop, place, patience, session, attempts)
        return place

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do what is due beside the requests: ask servers that had failed, and leave those that have vanished."""
        for probe in self._pool.refresh():
            task = loop.create_task(self._probe(probe))
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)
        self._pool.leave_gone()

    def leave_gone(self) -> None:
        """Close the connections to servers that have vanished and run nothing."""
        with self._lock:
            known = self._pool.known
            gone = [self._members.pop(each) for each in [*self._members] if each not in known]
        for member in gone:
            member.close()

    def leave_closed_loops(self) -> None:
        """Give the places of tasks back that have ended with their loops: gRPC keeps what they waited for."""
        with self._lock:
            closed = [loop for loop in self._places if loop.is_closed()]
            places = [place for loop in closed for place in self._places.pop(loop)]
        for place in places:
            place.release()

    async def _wait(
        self,
        loop: asyncio.AbstractEventLoop,
        place: Place,
        patience: float | None,
        session: StreamSession[Any] | None,
        attempts: flows.Attempts | None,
    ) -> None:
        """Wait in the queue for a place on a server."""
        signal = _Signal(loop)
        place.wake = signal.wake
        try:
            if session is not None:
                session.placement = place  # leaving the stream ends the wait
            if attempts is not None:
                attempts.place = place  # so does leaving a stream of results
            while (pause := self._pool.pause(place, patience, session)) is not None:
                await signal.wait(pause)
                self.check_open()
                self._look(loop)
        except BaseException:
            place.release()
            raise
        finally:
            if attempts is not None:
                attempts.place = None

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
            member = self._members.get(address)
            if member is None:
                member = self._members[address] = AsyncTransport(self._pool.config_of(address), self._bearer)
        return member

    async def _probe(self, probe: Probe) -> None:
        ready = False
        try:
            with suppress(Exception):  # also one of the caller's, whose function fetches the token
                ready = await self._member(probe.address).run(answers(probe.model))
        except BaseException:  # the loop ends
            self._pool.abandoned(probe)
            raise
        self._pool.probed(probe, ready=ready)


class _Signal:
    """Wakes a task from any thread. Not by `asyncio.wait_for`, which may lose a cancellation before Python 3.12."""

    __slots__ = ("_loop", "_news")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._news: asyncio.Future[None] | None = None

    async def wait(self, timeout: float) -> None:
        """Wait until `wake` is called, or some seconds are over."""
        self._news = self._loop.create_future()
        timer = self._loop.call_later(timeout, self._set)
        try:
            await self._news
        finally:
            timer.cancel()

    def wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
