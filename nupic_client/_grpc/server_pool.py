"""The servers of one client, for its blocking and its async calls: the lock around the pool, the queue, the look-ups."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nupic_client._core.balance.pool import Pool
from nupic_client._core.calls.placement import Affinity, Pin, no_room
from nupic_client._grpc import fork
from nupic_client._grpc.names import Addresses
from nupic_client.config import ClientConfig
from nupic_client.errors import ConnectionFailedError, RequestError, StreamClosedError

if TYPE_CHECKING:
    from nupic_client._core.balance.servers import Lease, Probe
    from nupic_client._core.calls.session import StreamSession
    from nupic_client.endpoint import Endpoint

__all__ = ["Place", "ServerPool"]

_LOOK_FIRST, _LOOK = 1.0, 10.0
"""Seconds between two looks of the request that waits the longest, and of each other one: it may have become the first."""


def _nothing() -> None:
    """Wake nobody."""


class Place:
    """The place of one attempt on a server, or in the queue for one. Thread-safe. See `Placement`.

    Args:
        pool: that it is of.
        model: the server's name of the model.
        affinity: the session that the request belongs to.
        tried: the addresses where it failed already.
    """

    __slots__ = (
        "_model",
        "_pool",
        "_settled",
        "_taken",
        "address",
        "affinity",
        "lease",
        "left",
        "start",
        "tried",
        "wake",
    )

    def __init__(
        self,
        pool: ServerPool,
        model: str,
        affinity: Affinity,
        tried: Collection[str],
    ) -> None:
        self.address = ""
        """Of the server; empty while the request waits."""
        self.affinity = affinity
        self.tried = tried
        self.start = time.monotonic()
        self.wake: Callable[[], object] = _nothing
        """Called, by any thread, when something happened that the request waits for. Set by those who wait."""
        self._pool = pool
        self._model = model
        self.lease: Lease | None = None
        self.left = False
        """Whether the caller waits no more. Set from anywhere."""
        self._settled = False
        self._taken = self.start

    @property
    def model(self) -> str:
        """The server's name of the model."""
        return self._model

    @property
    def kind(self) -> tuple[str, str]:
        """What it depends on whether there is room: the model, and the one server that it may be."""
        return self._model, self.affinity.address if isinstance(self.affinity, Pin) else ""

    def leave(self) -> None:
        """End the wait soon. Takes no lock, for destructors."""
        self.left = True
        self.wake()

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

    def drop(self, *, answered: bool, first_response: float | None = None) -> None:
        """Give the place back soon. Takes no lock, for destructors."""
        self._pool.drop(self, answered=answered, first_response=first_response)

    def __del__(self) -> None:
        # Ctrl-C between two lines, a task that dies with its loop: the place of a request that is no more is free again.
        lease = getattr(self, "lease", None)
        if lease is not None and not lease.released:
            self._pool.drop(self, answered=False)


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
        self._waiting: deque[Place] = deque()
        self._dropped: deque[tuple[Place, bool, float | None]] = deque()
        """Places that destructors gave back, with whether their servers answered, and when: see `housekeeping`."""
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
            self._take_dropped()
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

    def enter(self, model: str, affinity: Affinity, tried: Collection[str]) -> Place:
        """Return a place on a server, or in the queue: then it has no address yet, see `pause`."""
        place = Place(self, model, affinity, tried)
        with self._lock:
            if self._waiting or not self._choose(place):
                self._waiting.append(place)
                self._grant()
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
        if place.left:
            raise StreamClosedError("these results were closed while a request waited for a server")
        with self._lock:
            self._take_dropped()
            self._grant()
            first = bool(self._waiting) and self._waiting[0] is place
        if place.address:
            return None
        now = time.monotonic()
        left = math.inf if patience is None else patience - (now - place.start)
        if left <= 0.0:
            raise no_room(patience, "total", self.target) if session is None else session.not_placed(now)
        return min(left, _LOOK_FIRST if first else _LOOK)

    def _choose(self, place: Place) -> bool:
        affinity = place.affinity
        session = None if isinstance(affinity, Pin) else affinity
        only = affinity.address if isinstance(affinity, Pin) else ""
        lease = self._pool.choose(
            place.model,
            session=session,
            tried=place.tried,
            only=only,
            now=time.monotonic(),
            draw=random.random(),  # noqa: S311 - spreads requests, hides nothing
        )
        if lease is None:
            return False
        place.take(lease)
        return True

    def _grant(self) -> None:
        """Give places to those who wait, the first one first; one whose server is full does not hold up the others."""
        while self._waiting and self._choose(self._waiting[0]):
            self._waiting.popleft().wake()
        full: set[tuple[str, str]] = set()
        for place in [*self._waiting] if self._pool.has_room() else ():
            kind = place.kind
            if kind in full:
                continue
            if self._choose(place):
                self._waiting.remove(place)
                place.wake()
                if not self._pool.has_room():
                    return
            else:
                full.add(kind)

    def release(self, place: Place) -> None:
        """Take a place back, or out of the queue."""
        with self._lock:
            self._take_dropped()
            waits = place.lease is None and place in self._waiting
            if waits:
                self._waiting.remove(place)
            self._give_back(place)
            self._grant()
        if waits:
            place.wake()  # whoever still waits for it

    def drop(self, place: Place, *, answered: bool, first_response: float | None = None) -> None:
        """Take a place back soon. Takes no lock, for destructors."""
        self._dropped.append((place, answered, first_response))
        with suppress(IndexError):
            self._waiting[0].wake()  # who then looks

    def _take_dropped(self) -> None:
        """Take back what destructors gave back."""
        while self._dropped:
            with suppress(
                IndexError
            ):  # a destructor may interrupt this, and a thread in a signal handler do the same
                place, answered, first_response = self._dropped.popleft()
                if answered:
                    place.answered(first_response)
                if place.lease is None and place in self._waiting:
                    self._waiting.remove(place)
                self._give_back(place)

    def _give_back(self, place: Place) -> None:
        lease = place.lease
        if lease is not None:
            closable = self._pool.release(lease)
            self._forget([closable] if closable else [])

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
            waiting = [*self._waiting]
            self._waiting.clear()
        for place in waiting:
            place.wake()
