"""Blocking calls to one of several servers, each over a channel of its own."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls import flows
from nupic_client._core.calls.readiness import answers
from nupic_client._grpc import fork
from nupic_client._grpc.place import Place
from nupic_client._grpc.pooled_call import PooledCall, attempt_of, elsewhere, noted, tried_by, with_time_left
from nupic_client._grpc.server_pool import ServerPool
from nupic_client._sync.driver import StreamDriver
from nupic_client._sync.transport import Transport
from nupic_client.errors import RequestError

if TYPE_CHECKING:
    from nupic_client._core.balance.servers import Probe
    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.session import StreamSession
    from nupic_client._grpc.call import StreamCall
    from nupic_client._sync.calls import Calls

__all__ = ["PooledTransport"]


class PooledTransport(StreamDriver):
    """A `Transport` for each server, made at its first call. Thread-safe.

    Args:
        pool: the servers.
        bearer: adds the token to each call.
    """

    def __init__(self, pool: ServerPool, bearer: Bearer | None = None) -> None:
        super().__init__(bearer)
        self._pool = pool
        self._begin()
        pool.add(self)
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._members: dict[str, Transport] = {}

    def _after_fork(self) -> None:
        """Start over in a forked child; each member drops what is the parent's itself."""
        fork.leak(self._members)  # until each of them has done the same with its channels
        self._begin()

    def stream(self, session: StreamSession[Any]) -> StreamCall:
        """Start a ``ModelStreamInfer`` call on one of the servers and return it."""
        session.queue()
        patience = session.patience_in_queue(time.monotonic())
        try:
            place = self._enter(session.model, session.affinity, session.tried, patience, session)
        except RequestError as error:
            raise session.failed(error, time.monotonic()) from error.__cause__
        session.place(place)
        try:
            return self._member(place.address).stream(session)
        except BaseException:
            place.release()
            raise

    def answers(self) -> Calls:
        """Return room for many streams at the same time, for one reader; a thread reads each."""
        from nupic_client._sync.answers import ThreadedAnswers  # noqa: PLC0415 - for those who map texts only

        return ThreadedAnswers(self)

    def begin(self, command: flows.Invoke) -> PooledCall:
        """Start a unary call on one of the servers and return it, for `finish`."""
        place, command = self._placed(command)
        try:
            member = self._member(place.address)
            call = PooledCall(member.begin(command), member, place, command.attempts)
        except RequestError as error:
            place.release()
            raise self._failure(place, error, command.attempts) from error.__cause__
        except BaseException:
            place.release()
            raise
        return call

    def finish(self, call: PooledCall) -> Any:
        """Wait for a call that `begin` started and return its response.

        Raises:
            RequestError: the call failed.
        """
        try:
            response = call.member.finish(call.call)
        except RequestError as error:
            raise self._failure(call.place, error, call.attempts) from error.__cause__
        call.place.answered()
        return response

    def _invoke(self, command: flows.Invoke) -> Any:
        if command.attempts is not None:
            return self._attempt(command)
        start = time.monotonic()
        command = noted(command, start)
        while True:
            try:
                return self._attempt(with_time_left(command, time.monotonic() - start))
            except RequestError as error:
                command = elsewhere(command, error, start, time.monotonic())

    def _attempt(self, command: flows.Invoke) -> Any:
        place, command = self._placed(command)
        try:
            response = self._member(place.address).perform(command)
            place.answered()
        except RequestError as error:
            raise self._failure(place, error, command.attempts) from error.__cause__
        finally:
            place.release()
        return response

    def explain(self, error: RequestError) -> RequestError:
        """Return the error of a call, with what is known about the way to the server."""
        member = self._members.get(error.target)
        return error if member is None else member.explain(error)

    def close(self) -> None:
        """Close all channels, which ends their calls; does not wait for them. Idempotent."""
        with self._lock:
            self.closed = True
            members = [*self._members.values()]
        for member in members:
            member.close()
        self._pool.close()

    def _failure(self, place: Place, error: RequestError, attempts: flows.Attempts | None) -> RequestError:
        return place.failed(error, tried_by(attempts))

    def _placed(self, command: flows.Invoke) -> tuple[Place, flows.Invoke]:
        """Return a place for a call, and the call with the time that is left for it."""
        model, affinity, tried = attempt_of(command, several=self._pool.several)
        attempts = command.attempts
        if attempts is not None:
            attempts.queued = True
        place = self._enter(
            model, affinity, tried, command.timeout, attempts=attempts, limited=command.method == "ModelInfer"
        )
        if attempts is not None:
            attempts.endpoint, attempts.queued = place.address, False
        return place, with_time_left(command, time.monotonic() - place.start)

    def _enter(
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
        if self._pool.is_new:
            self._pool.look_up()
        self._look()
        place = self._pool.enter(model, affinity, tried, limited=limited)
        if not place.address:
            self._wait(place, patience, session, attempts)
        return place

    def _look(self) -> None:
        """Do what is due beside the requests: ask servers that had failed, and leave those that have vanished."""
        for probe in self._pool.refresh():
            threading.Thread(target=self._probe, args=(probe,), name="nupic-probe", daemon=True).start()
        self._pool.leave_gone()

    def leave_closed_loops(self) -> None:
        """Do nothing: blocking calls have no loops."""

    def leave_gone(self) -> None:
        """Close the connections to servers that have vanished and run nothing."""
        with self._lock:
            known = self._pool.known
            gone = [self._members.pop(each) for each in [*self._members] if each not in known]
        for member in gone:
            member.close()

    def _wait(
        self,
        place: Place,
        patience: float | None,
        session: StreamSession[Any] | None,
        attempts: flows.Attempts | None,
    ) -> None:
        """Wait in the queue for a place on a server."""
        signal = threading.Lock()
        signal.acquire()
        place.wake = partial(_wake, signal)
        try:
            if session is not None:
                session.placement = place  # leaving the stream ends the wait
            if attempts is not None:
                attempts.place = place  # so does leaving a stream of results
            while (pause := self._pool.pause(place, patience, session)) is not None:
                signal.acquire(timeout=pause)
                self.check_open()
                self._look()
        except BaseException:
            place.release()
            raise
        finally:
            if attempts is not None:
                attempts.place = None

    def _member(self, address: str) -> Transport:
        member = self._members.get(address)
        if member is not None:
            return member
        with self._lock:
            self.check_open()
            member = self._members.get(address)
            if member is None:
                member = self._members[address] = Transport(self._pool.config_of(address), self._bearer)
        return member

    def _probe(self, probe: Probe) -> None:
        ready = False
        with suppress(Exception):  # also one of the caller's, whose function fetches the token
            ready = self._member(probe.address).run(answers(probe.model))
        self._pool.probed(probe, ready=ready)


def _wake(signal: threading.Lock) -> None:
    with suppress(RuntimeError):  # it is released already
        signal.release()
