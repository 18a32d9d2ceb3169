"""Blocking calls to one of several servers, each over a channel of its own."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls import flows
from nupic_client._core.calls.readiness import answers
from nupic_client._grpc import fork
from nupic_client._grpc.pooled_call import PooledCall, attempt_of, with_time_left
from nupic_client._grpc.server_pool import Place, ServerPool
from nupic_client._sync.driver import StreamDriver
from nupic_client._sync.transport import Transport
from nupic_client.errors import ConfigurationError, RequestError

if TYPE_CHECKING:
    from nupic_client._core.balance.servers import Probe
    from nupic_client._core.calls.auth import Bearer
    from nupic_client._core.calls.session import StreamSession
    from nupic_client._grpc.call import StreamCall

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
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._members: dict[str, Transport] = {}

    def _after_fork(self) -> None:
        """Start over in a forked child; each member drops what is the parent's itself."""
        fork.leak_in_child(self._members)  # until each of them has done the same with its channels
        self._begin()

    def stream(self, session: StreamSession[Any]) -> StreamCall:
        """Start a ``ModelStreamInfer`` call on one of the servers and return it."""
        patience = session.patience_in_queue(time.monotonic())
        place = self._enter(session.model, session.affinity, session.tried, patience, session)
        session.place(place)
        try:
            return self._member(place.address).stream(session)
        except BaseException:
            place.release()
            raise

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
        return place.failed(error, () if attempts is None else attempts.tried)

    def _placed(self, command: flows.Invoke) -> tuple[Place, flows.Invoke]:
        """Return a place for a call, and the call with the time that is left for it."""
        model, affinity, tried = attempt_of(command, several=self._pool.several)
        place = self._enter(model, affinity, tried, command.timeout)
        if command.attempts is not None:
            command.attempts.endpoint = place.address
        return place, with_time_left(command, time.monotonic() - place.start)

    def _enter(
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
        if self._pool.is_new:
            self._pool.look_up()
        for probe in self._pool.refresh():
            threading.Thread(target=self._probe, args=(probe,), name="nupic-probe", daemon=True).start()
        signal = threading.Lock()
        signal.acquire()
        place = self._pool.enter(model, affinity, tried, lambda: _wake(signal))
        if place.address:
            return place
        try:
            if session is not None:
                session.placement = place  # leaving the stream ends the wait
            signal.acquire(timeout=-1 if patience is None else patience)
            self.check_open()
            self._pool.check_taken(place, patience, session)
        except BaseException:
            place.release()
            raise
        return place

    def _member(self, address: str) -> Transport:
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
                member = self._members[address] = Transport(self._pool.config_of(address), self._bearer)
        return member

    def _probe(self, probe: Probe) -> None:
        ready = False
        with suppress(RequestError, ConfigurationError):
            ready = self._member(probe.address).run(answers(probe.model))
        self._pool.probed(probe, ready=ready)


def _wake(signal: threading.Lock) -> None:
    with suppress(RuntimeError):  # it is released already
        signal.release()
