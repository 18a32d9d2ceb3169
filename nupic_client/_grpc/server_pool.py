"""The servers of one client, for its blocking and its async calls: the lock around the pool, the queue, the look-ups."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nupic_client._core.balance.pool import Pool
from nupic_client._core.balance.queue import RequestQueue
from nupic_client._core.calls.placement import Affinity, Pin, no_room
from nupic_client._grpc import fork
from nupic_client._grpc.names import Addresses
from nupic_client.config import ClientConfig
from nupic_client.errors import ConnectionFailedError, RequestError

if TYPE_CHECKING:
    from nupic_client._core.balance.servers import Lease, Probe
    from nupic_client._core.calls.session import StreamSession
    from nupic_client.endpoint import Endpoint

__all__ = ["Place", "ServerPool"]


class Place:
    """The place of one attempt on a server, or in the queue for one. Thread-safe. See `Placement`.

    Args:
        pool: that it is of.
        affinity: the session that the request belongs to.
        wake: called when the request has waited for long enough, by any thread.
    """

    __slots__ = (
        "_pool",
        "_settled",
        "_taken",
        "address",
        "affinity",
        "lease",
        "start",
        "wake",
    )

    def __init__(self, pool: ServerPool, affinity: Affinity, wake: Callable[[], object]) -> None:
        self.address = ""
        """Of the server; empty while the request waits."""
        self.affinity = affinity
        self.start = time.monotonic()
        self.wake = wake
        self._pool = pool
        self.lease: Lease | None = None
        """None while the request waits."""
        self._settled = False
        self._taken = self.start

    @property
    def session(self) -> str | None:
        """The session that the request should stay with, if there is one."""
        return None if isinstance(self.affinity, Pin) else self.affinity

    @property
    def only(self) -> str:
        """The address of the one server that may take it, if there is one."""
        return self.affinity.address if isinstance(self.affinity, Pin) else ""

    def take(self, lease: Lease) -> None:
        """Take a place on a server."""
        self.lease = lease
        self._taken = time.monotonic()
        self.address = lease.address
        if isinstance(self.affinity, Pin):
            self.affinity.address = lease.address

    def failed(self, error: RequestError, tried: Collection[str]) -> RequestError:
        """Note that the attempt failed, once; return the error, which says whether to try elsewhere."""
        if self.lease is None or self._settled:
            return error
        self._settled = True
        pinned = isinstance(self.affinity, Pin)
        return self._pool.failed(self.lease, error, [*tried, self.address], pinned=pinned)

    def answered(self, first_response: float | None = None) -> None:
        """Note that the server answered."""
        if self.lease is not None and not self._settled:
            self._settled = True
            seconds = None if first_response is None else max(first_response - self._taken, 0.0)
            self._pool.answered(self.lease, seconds)

    def release(self) -> None:
        """Give the place back, or leave the queue. Idempotent."""
        self._pool.release(self)


class ServerPool:
    """The servers of one client. Thread-safe; no method waits for anything but `look_up`.

    Args:
        config: of the client.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._pool = Pool(balancing=self._config.balancing, max_outstanding=self._config.max_outstanding)
        self._addresses = Addresses(self._config)
        self._queue: RequestQueue[Place] = RequestQueue()
        self.known: dict[str, ClientConfig] = {}
        """The configuration for each server that there is, or that still runs requests. Replaced, never changed."""

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
            due = self._addresses.is_due(now)
            if due:
                self._addresses.begin(now)
            probes = self._pool.due_probes(now)
        if due:
            threading.Thread(target=self._look_up_again, name="nupic-look-up", daemon=True).start()
        return probes

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

    def enter(
        self, model: str, affinity: Affinity, tried: Collection[str], wake: Callable[[], object]
    ) -> Place:
        """Return a place on a server, or in the queue: then it has no address until ``wake`` is called."""
        place = Place(self, affinity, wake)
        with self._lock:
            # Whoever waits gets what becomes free before the lock is given back: nobody is overtaken here.
            lease = self._pool.choose(
                model,
                session=place.session,
                tried=tried,
                only=place.only,
                now=time.monotonic(),
                draw=random.random(),  # noqa: S311 - spreads requests, hides nothing
            )
            if lease is None:
                self._queue.add(place, model, session=place.session, tried=tried, only=place.only)
            else:
                place.take(lease)
        return place

    def check_taken(self, place: Place, patience: float | None, session: StreamSession[Any] | None) -> None:
        """Raise an error if a place that was waited for is none.

        Args:
            place: from `enter`.
            patience: seconds that the request was allowed to wait.
            session: of a stream.

        Raises:
            StreamClosedError: the stream was left meanwhile.
            DeadlineExceededError: no server had room in time.
        """
        if session is not None:
            session.check_running()
        if place.address:
            return
        if session is not None:
            raise session.not_placed(time.monotonic())
        raise no_room(patience, "total", self.target)

    def _grant(self) -> None:
        """Give places to those who wait, the first one first."""
        while self._queue:
            granted = self._queue.grant(self._pool, time.monotonic(), random.random())  # noqa: S311
            if granted is None:
                return
            place, lease = granted
            place.take(lease)
            place.wake()

    def release(self, place: Place) -> None:
        """Take a place back, or out of the queue."""
        with self._lock:
            waits = place.lease is None
            if place.lease is None:
                self._queue.remove(place)
            else:
                closable = self._pool.release(place.lease)
                self._forget([closable] if closable else [])
            self._grant()
        if waits:
            place.wake()  # whoever still waits for it

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

    def endpoints(self) -> list[Endpoint]:
        """Return the servers as they are now."""
        with self._lock:
            return self._pool.endpoints(time.monotonic())

    def close(self) -> None:
        """Wake all who wait."""
        with self._lock:
            waiting = self._queue.clear()
        for place in waiting:
            place.wake()
