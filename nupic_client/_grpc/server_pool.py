"""The servers of one client, for its blocking and its async calls: the lock around the pool, the queue, the look-ups."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from nupic_client._core.balance.pool import Pool
from nupic_client._core.balance.queue import RequestQueue
from nupic_client._core.calls.placement import Affinity, no_room
from nupic_client._grpc import fork
from nupic_client._grpc.names import Addresses
from nupic_client._grpc.place import Loss, Place
from nupic_client.config import ClientConfig
from nupic_client.errors import ConnectionFailedError, RequestError, StreamClosedError

if TYPE_CHECKING:
    from nupic_client._core.balance.servers import Lease, Probe
    from nupic_client._core.calls.session import StreamSession
    from nupic_client.endpoint import Endpoint

__all__ = ["ServerPool"]


_LOOK_FIRST, _LOOK = 1.0, 10.0
"""Seconds between two looks of the request that waits the longest, and of each other one: it may have become the first."""


class Transport(Protocol):
    """What has connections to the servers."""

    def leave_gone(self) -> None:
        """Close those to servers that have vanished and run nothing."""
        ...

    def leave_closed_loops(self) -> None:
        """Give back the places of requests that have ended with their event loops."""
        ...


class ServerPool:
    """The servers of one client. Thread-safe; no method waits for anything but `look_up`.

    Args:
        config: of the client.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._transports: WeakSet[Transport] = WeakSet()
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._pool = Pool(balancing=self._config.balancing, max_outstanding=self._config.max_outstanding)
        self._addresses = Addresses(self._config)
        self._queue: RequestQueue[Place] = RequestQueue()
        self._dropped: deque[tuple[Place, bool, float | None]] = deque()
        """Places that destructors gave back, with whether their servers answered, and when: see `housekeeping`."""
        self._held: dict[Lease, Loss] = {}
        self._lost: deque[Loss] = deque()
        self.known: dict[str, ClientConfig] = {}
        """The configuration for each server that there is, or that still runs requests. Replaced, never changed."""
        self._connected = self.known
        """What the transports last knew."""

    def _after_fork(self) -> None:
        """Start over in a forked child: what runs is the parent's."""
        self._begin()

    @property
    def target(self) -> str:
        """The servers, for error texts."""
        return str(self._config.server)

    @property
    def several(self) -> str:
        """The same if there may be several, else empty."""
        return self.target if self._config.server.is_several else ""

    @property
    def has_names(self) -> bool:
        """Whether `look_up` looks names up, and so may block."""
        return self._addresses.has_names

    @property
    def is_new(self) -> bool:
        """Whether no server is known yet: `look_up` has to be called first."""
        return not self._addresses.found

    def look_up(self) -> None:
        """Find the servers. Blocks while names are looked up.

        Raises:
            ConnectionFailedError: no name can be resolved.
        """
        with self._lock:
            self._addresses.begin(time.monotonic())
        found = self._addresses.look_up()
        with self._lock:
            self._addresses.found = found
            _, closable = self._pool.set_addresses([*found])
            self.known = {**self.known, **found}
            self._forget(closable)
            self._grant()

    def _forget(self, addresses: Sequence[str]) -> None:
        """Forget servers that have vanished and run nothing."""
        if addresses:
            self.known = {address: it for address, it in self.known.items() if address not in addresses}

    def _look_up_again(self) -> None:
        with suppress(
            ConnectionFailedError
        ):  # a name that does not resolve for a moment does not end what works
            self.look_up()

    def refresh(self) -> list[Probe]:
        """Look names up anew if it is time, in a thread of its own, and return what to ask servers that had failed."""
        now = time.monotonic()
        with self._lock:
            if self._dropped or self._lost:
                self._take_dropped()
            due = self._addresses.is_due(now)
            if due:
                self._addresses.begin(now)
            probes = self._pool.due_probes(now)
        if due:
            threading.Thread(target=self._look_up_again, name="nupic-look-up", daemon=True).start()
        return probes

    def add(self, transport: Transport) -> None:
        """Let a transport know when servers are no more."""
        self._transports.add(transport)

    def leave_gone(self) -> None:
        """Let the transports close the connections to servers that have vanished and run nothing. Takes locks of gRPC."""
        known = self.known
        if known is not self._connected:
            self._connected = known
            for transport in tuple(self._transports):
                transport.leave_gone()

    def config_of(self, address: str) -> ClientConfig:
        """Return the configuration for one of the servers.

        Raises:
            ConnectionFailedError: it has vanished.
        """
        try:
            return self.known[address]
        except KeyError:
            raise ConnectionFailedError(
                f"the server is no longer one of {self.target}", target=address, retryable=True
            ) from None

    def enter(self, model: str, affinity: Affinity, tried: Collection[str], *, limited: bool = True) -> Place:
        """Return a place on a server, or in the queue: then it has no address yet, see `pause`.

        Args:
            model: the server's name of the model.
            affinity: the session that the request belongs to.
            tried: the addresses where it failed already.
            limited: whether it counts for ``max_outstanding``; questions do not.
        """
        place = Place(self, affinity)
        with self._lock:
            try:
                # Whoever waits gets what becomes free before the lock is given back: nobody is overtaken here.
                lease = self._pool.choose(
                    model,
                    session=place.session,
                    tried=tried,
                    only=place.only,
                    limited=limited,
                    now=time.monotonic(),
                    draw=random.random(),  # noqa: S311 - spreads requests, hides nothing
                )
                if lease is None:
                    self._queue.add(place, model, session=place.session, tried=tried, only=place.only)
                else:
                    self._give(place, lease)
            except BaseException:  # Ctrl-C
                self._pool.recount(self._held)
                raise
        return place

    def pause(
        self, place: Place, patience: float | None, session: StreamSession[Any] | None = None
    ) -> float | None:
        """Return how long to wait for a place before the next look, or None if it has a server.

        Whoever waits looks now and then, and calls `refresh`: the requests that run may be long, and those that wait want
        to know whether a server has come back.

        Args:
            place: from `enter`.
            patience: seconds that the request may wait.
            session: of a stream.

        Raises:
            StreamClosedError: the stream was left meanwhile, or the stream of results that the call is for.
            DeadlineExceededError: no server had room in time.
        """
        if session is not None:
            session.check_running()
        for transport in tuple(self._transports):
            transport.leave_closed_loops()
        if place.left:
            raise StreamClosedError("these results were closed while a request waited for a server")
        with self._lock:
            self._take_dropped()
            first = self._queue.first is place
        if place.address:
            return None
        now = time.monotonic()
        left = math.inf if patience is None else patience - (now - place.start)
        if left <= 0.0:
            raise no_room(patience, "total", self.target) if session is None else session.not_placed(now)
        return min(left, _LOOK_FIRST if first else _LOOK)

    def _grant(self) -> None:
        """Give places to those who wait, the first one first."""
        try:
            while self._queue:
                granted = self._queue.grant(self._pool, time.monotonic(), random.random())  # noqa: S311
                if granted is None:
                    return
                place, lease = granted
                self._give(place, lease)
                place.wake()
        except BaseException:  # Ctrl-C
            self._pool.recount(self._held)
            raise

    def release(self, place: Place) -> None:
        """Take a place back, or out of the queue."""
        with self._lock:
            waits = place.lease is None
            self._give_back(place)
            self._grant()
        if waits:
            place.wake()  # whoever still waits for it

    def drop(self, place: Place, *, answered: bool, first_response: float | None = None) -> None:
        """Take a place back soon. Takes no lock, for destructors."""
        self._dropped.append((place, answered, first_response))
        if place.lease is None:
            place.wake()  # whoever waits for it
        with suppress(RuntimeError):  # the queue changes at this moment, and whoever does that takes it back
            first = self._queue.first
            if first is not None:
                first.wake()

    def _take_dropped(self) -> None:
        """Take back what destructors gave back."""
        while self._dropped:
            with suppress(IndexError):  # a destructor may interrupt this, and what it calls do the same
                place, answered, first_response = self._dropped.popleft()
                if answered:
                    place.answered(first_response)
                self._give_back(place)
        while self._lost:
            self._end(self._lost.popleft().lease)
        self._grant()

    def _give(self, place: Place, lease: Lease) -> None:
        loss = Loss(place, self._lost.append)
        loss.lease = lease
        self._held[lease] = loss
        place.take(lease)

    def _give_back(self, place: Place) -> None:
        if place.lease is None:
            self._queue.remove(place)
        else:
            self._end(place.lease)

    def _end(self, lease: Lease) -> None:
        try:
            self._held.pop(lease, None)
            closable = self._pool.release(lease)
            self._forget([closable] if closable else [])
        except BaseException:  # Ctrl-C
            self._pool.recount(self._held)
            raise

    def failed(
        self, lease: Lease, error: RequestError, tried: Collection[str], *, pinned: bool
    ) -> RequestError:
        """Note a failure; return the error, which says whether to try elsewhere."""
        now = time.monotonic()
        with self._lock:
            if isinstance(error, ConnectionFailedError):
                self._addresses.note_failure()
            self._pool.failed(lease, error, now, random.random())  # noqa: S311 - spreads probes
            elsewhere = not pinned and self._pool.elsewhere(lease.model, error, tried, now)
            self._grant()
        return error.with_facts(elsewhere=True) if elsewhere else error

    def answered(self, lease: Lease, seconds: float | None) -> None:
        """Note an answer.

        Args:
            lease: of the request.
            seconds: from its sending to the first response; None where that says little.
        """
        with self._lock:
            self._pool.succeeded(lease, time.monotonic(), time_to_first_token=seconds)
            self._grant()

    def probed(self, probe: Probe, *, ready: bool) -> None:
        """Note the answer to a probe."""
        with self._lock:
            self._pool.probed(probe, ready, time.monotonic(), random.random())  # noqa: S311
            self._grant()

    def abandoned(self, probe: Probe) -> None:
        """Note that a probe has no answer: who asked was interrupted."""
        with self._lock:
            self._pool.abandoned(probe)

    def endpoints(self) -> list[Endpoint]:
        """Return the servers as they are now."""
        with self._lock:
            self._take_dropped()
            return self._pool.endpoints(time.monotonic())

    def close(self) -> None:
        """Wake all who wait."""
        with self._lock:
            waiting = self._queue.clear()
        for place in waiting:
            place.wake()
