"""The pool of servers that one client uses: it counts, chooses, and remembers who is well. Nothing here waits."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from nupic_client._core.balance.choice import home, least_bad, least_busy, least_recent
from nupic_client._core.balance.health import LONGEST, LONGEST_CERTAIN, Health
from nupic_client._core.balance.meaning import Meaning, meaning_of, travels
from nupic_client._core.balance.servers import Lease, PooledServer, Probe
from nupic_client.endpoint import Balancing, Endpoint
from nupic_client.errors import ModelUnavailableError, RequestError

__all__ = ["Pool"]

_SILENT = 3
"""Requests in a row without a first response, and nothing else answered meanwhile, after which a model counts as dead."""


class Pool:
    """Which of several servers a request goes to. The caller holds a lock around each method.

    Args:
        balancing: how to choose among the servers that are well.
        max_outstanding: the most requests of this client that one server works on at a time; None for no limit.
    """

    def __init__(self, *, balancing: Balancing = "least-busy", max_outstanding: int | None = None) -> None:
        self._balancing = balancing
        self._limit = math.inf if max_outstanding is None else max_outstanding
        self._servers: dict[str, PooledServer] = {}
        self._out: dict[Health, tuple[PooledServer, str]] = {}
        """The quarantines; those that are over stay until the next look."""
        self._turn = 0

    def set_addresses(self, addresses: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        """Take the servers that there are now.

        No addresses at all change nothing: a name that does not resolve for a moment does not end what works.

        Returns:
            The new addresses, and those that have vanished and run nothing: their channels may be closed. One that
            still runs requests is returned by the last `release`.
        """
        wanted = dict.fromkeys(addresses)
        if not wanted:
            return (), ()
        new, closable = [], []
        for address in wanted:
            server = self._servers.get(address)
            if server is None:
                new.append(address)
                self._servers[address] = PooledServer(address)
            else:
                server.leaving = False
        for server in [server for server in self._servers.values() if server.address not in wanted]:
            server.leaving = True
            if self._forget(server):
                closable.append(server.address)
        return new, closable

    def choose(
        self,
        model: str,
        *,
        session: str | None = None,
        tried: Collection[str] = (),
        only: str = "",
        limited: bool = True,
        now: float,
        draw: float,
    ) -> Lease | None:
        """Return a place for a request, or None where it has to wait: the servers that may be picked are full.

        Args:
            model: the server's name of the model.
            session: for ``"sticky"``: the requests of one session go to the same server.
            tried: the addresses where this request failed already; taken only where there is no other.
            only: the address of the one server that may take it, well or not; it is as empty if that server is no more.
            limited: False for a question that costs the server nothing: it does not wait for room.
            now: clock reading.
            draw: a random number, 0 <= draw < 1.
        """
        limit = self._limit if limited else math.inf
        single = self._servers.get(only)
        if single is not None:
            if not single.well(model):
                single.want(model)
            return self._lease(single, model, now) if single.running < limit else None
        well: list[PooledServer] = []
        out: list[PooledServer] = []
        for server in self._servers.values():
            if server.well(model):
                well.append(server)
            elif not server.leaving:
                server.want(model)
                out.append(server)
        if not well:
            room = [server for server in out if server.running < limit]
            chosen = least_bad(room, model, tried, now)
        else:
            room = [server for server in well if server.running < limit]
            room = [server for server in room if server.address not in tried] or room
            chosen = self._pick(room, well, session, draw)
        return None if chosen is None else self._lease(chosen, model, now)

    def release(self, lease: Lease) -> str | None:
        """Give a place back; the second time does nothing.

        Returns:
            The address of a server that had vanished and runs nothing now: its channel may be closed.
        """
        if lease.released:
            return None
        lease.released = True
        server = lease.server
        server.running -= 1
        if lease.state.trial is lease:
            lease.state.trial = None
        return server.address if server.leaving and self._forget(server) else None

    def recount(self, leases: Collection[Lease]) -> None:
        """Count the running requests anew, because Ctrl-C came while one was counted.

        Args:
            leases: all that there are.
        """
        for server in self._servers.values():
            server.running = sum(lease.server is server and not lease.released for lease in leases)

    def succeeded(self, lease: Lease, now: float, *, time_to_first_token: float | None = None) -> None:
        """Take note that an answer has come, or its first part.

        Args:
            lease: of the request.
            now: clock reading.
            time_to_first_token: in seconds, where it was measured; give it once.
        """
        if time_to_first_token is not None:
            lease.server.measured(time_to_first_token)
        self._reached(lease)
        self._answered(lease, now)

    def failed(self, lease: Lease, error: RequestError, now: float, draw: float) -> None:
        """Take note of a failure. What it means for the server is decided here.

        Args:
            lease: of the request.
            error: how it failed.
            now: clock reading.
            draw: a random number, 0 <= draw < 1.
        """
        meaning = meaning_of(error)
        if meaning is Meaning.LATE:
            meaning = self._late(lease)
        if meaning in {Meaning.SERVER_OUT, Meaning.DRAINING}:
            server = lease.server
            if lease.incidents[0] == server.health.incident:
                server.health.incident += 1
                server.draining = meaning is Meaning.DRAINING
                server.health.strike(now, draw, LONGEST if error.retryable else LONGEST_CERTAIN)
                self._out[server.health] = server, ""
        elif meaning is Meaning.MODEL_OUT:
            if isinstance(error, ModelUnavailableError):  # it was the server that said so
                self._reached(lease)
            health = lease.state.health
            if lease.incidents[1] == health.incident:
                health.incident += 1
                health.strike(now, draw)
                self._out[health] = lease.server, lease.model
        elif meaning is not Meaning.NOTHING:
            self._reached(lease)
            if meaning is Meaning.ANSWERED:
                self._answered(lease, now)

    def elsewhere(self, model: str, error: RequestError, tried: Collection[str], now: float) -> bool:
        """Return whether another server, not tried yet, may do better with a request that failed.

        Args:
            model: the server's name of the model.
            error: of the last attempt; nothing of an answer had come.
            tried: the addresses where it failed, the last one among them.
            now: clock reading.
        """
        if not travels(error):
            return False
        servers = [server for server in self._servers.values() if not server.leaving]
        others = [server for server in servers if server.address not in tried]
        if any(server.well(model) for server in others):
            return True
        if not error.retryable:
            # The same server would say the same again: one that is out is the last hope, unless its model is out too.
            return any(server.model(model).open for server in others)
        return any(server.due(model) <= now for server in others) and not any(
            server.well(model) for server in servers
        )

    def due_probes(self, now: float) -> list[Probe]:
        """Return the questions to ask now. Each is returned once, until `probed` has its answer."""
        return [
            Probe(server, model, health) for server, model, health in self._quarantines() if health.ask(now)
        ]

    def next_probe(self) -> float | None:
        """Return the clock reading when `due_probes` has something, or None while there is nothing to ask."""
        when = min((health.probe_at for _, _, health in self._quarantines()), default=math.inf)
        return None if when == math.inf else when

    def probed(self, probe: Probe, ready: bool, now: float, draw: float) -> None:  # noqa: FBT001
        """Take the answer of a probe.

        Args:
            probe: from `due_probes`.
            ready: whether the server, and the model if the probe has one, said that it is ready.
            now: clock reading.
            draw: a random number, 0 <= draw < 1.
        """
        server, health = probe.server, probe.health
        if health.due is None or health.quarantine != probe.quarantine:
            return  # a request was faster
        if not ready:
            health.strike(now, draw)
        elif probe.model:
            health.lift(trial=True)
        else:
            health.lift(trial=False)
            server.answered, server.draining = True, False

    def abandoned(self, probe: Probe) -> None:
        """Ask again what nobody will answer.

        Args:
            probe: from `due_probes`.
        """
        if probe.health.quarantine == probe.quarantine:
            probe.health.unasked()

    def endpoints(self, now: float) -> list[Endpoint]:
        """Return the servers as they are now."""
        return [server.view(now) for server in self._servers.values()]

    def _pick(
        self, room: Sequence[PooledServer], well: Sequence[PooledServer], session: str | None, draw: float
    ) -> PooledServer | None:
        if not room:
            return None
        if self._balancing == "round-robin":
            return least_recent(room, draw)
        if self._balancing == "sticky" and session is not None:
            return home(session, room, well, draw)
        return least_busy(room, draw)

    def _lease(self, server: PooledServer, model: str, now: float) -> Lease:
        self._turn += 1
        server.turn = self._turn
        server.running += 1
        lease = Lease(server, model, now)
        if lease.state.health.on_trial and lease.state.trial is None:
            lease.state.trial = lease
        return lease

    def _quarantines(self) -> list[tuple[PooledServer, str, Health]]:
        """Return the quarantines that probes may end: those of servers, and of models on servers that are well."""
        self._out = {
            health: where
            for health, where in self._out.items()
            if health.due is not None and not where[0].gone
        }
        return [
            (server, model, health)
            for health, (server, model) in self._out.items()
            if not server.leaving and (not model or server.health.due is None)
        ]

    def _forget(self, server: PooledServer) -> bool:
        """Forget a server that has vanished if it runs nothing; return whether it does."""
        if server.running:
            return False
        server.gone = True
        if self._servers.get(server.address) is server:  # else it is the parent's, in a forked child
            del self._servers[server.address]
        return True

    def _reached(self, lease: Lease) -> None:
        server = lease.server
        server.answered = True
        if lease.incidents[0] == server.health.incident:
            server.health.restore()
            server.draining = False

    def _answered(self, lease: Lease, now: float) -> None:
        model = lease.state
        model.answered, model.late = now, 0
        if lease.incidents[1] == model.health.incident:
            model.health.restore()

    def _late(self, lease: Lease) -> Meaning:
        """Return the meaning of a first response that did not come in time.

        A busy server is not a dead one: while it answers others, a late answer says nothing. Several in a row with no
        answer in between look like a model that hangs. If it is busy after all, it is out for a moment and others help.
        Until then it holds the requests that it does not answer, so that least-busy sends it few.
        """
        model = lease.state
        if model.answered >= lease.chosen:
            return Meaning.NOTHING
        model.late += 1
        return Meaning.MODEL_OUT if model.late >= _SILENT or not model.health.well else Meaning.NOTHING
