"""What the pool knows of each server and of each model on it; the places that requests have, and the questions of probes."""

from __future__ import annotations

import math

from nupic_client._core.balance.health import Health
from nupic_client.endpoint import Endpoint, EndpointState

__all__ = ["Lease", "PooledModel", "PooledServer", "Probe"]

_WEIGHT = 0.3
"""Of the newest time to the first token in the average."""
_MANY_MODELS = 1000
"""Names of models that are remembered for a server."""


class Lease:
    """The place of one request on a server, from the choice until `Pool.release`."""

    __slots__ = ("address", "chosen", "incidents", "model", "released", "server", "state")

    def __init__(self, server: PooledServer, model: str, now: float) -> None:
        self.address = server.address
        """Of the server."""
        self.model = model
        """The server's name of the model."""
        self.server = server
        self.state = server.model(model)
        self.chosen = now
        self.released = False
        self.incidents = (server.health.incident, self.state.health.incident)

    def __repr__(self) -> str:
        return f"<Lease of {self.address} for {self.model!r}{', released' if self.released else ''}>"


class Probe:
    """A question whether a server (``model`` is empty), or a model on it, is ready again. For `Pool.probed`."""

    __slots__ = ("address", "health", "model", "quarantine", "server")

    def __init__(self, server: PooledServer, model: str, health: Health) -> None:
        self.address = server.address
        """Of the server."""
        self.model = model
        """The server's name of the model; empty for the server as a whole."""
        self.server = server
        self.health = health
        self.quarantine = health.quarantine

    def __repr__(self) -> str:
        return f"<Probe of {self.address}{f' for {self.model!r}' if self.model else ''}>"


class PooledModel:
    """What the pool knows of one model on one server."""

    __slots__ = ("answered", "health", "late", "trial")

    def __init__(self) -> None:
        self.health = Health()
        self.answered = -math.inf
        """Clock reading of the last answer."""
        self.late = 0
        """Requests in a row without a first response in time."""
        self.trial: Lease | None = None
        """The one request that runs while the model is on trial."""

    @property
    def open(self) -> bool:
        """Whether it may get a request."""
        return self.health.due is None and (not self.health.on_trial or self.trial is None)


class PooledServer:
    """What the pool knows of one server."""

    __slots__ = (
        "address",
        "answered",
        "draining",
        "gone",
        "health",
        "leaving",
        "models",
        "running",
        "time_to_first_token",
        "turn",
    )

    def __init__(self, address: str) -> None:
        self.address = address
        self.running = 0
        self.turn = 0
        """When it was chosen last, counted in requests."""
        self.answered = False
        self.draining = False
        """Whether its quarantine is of its own wish."""
        self.leaving = False
        """Whether its address has vanished."""
        self.gone = False
        self.health = Health()
        self.models: dict[str, PooledModel] = {}
        self.time_to_first_token: float | None = None

    @property
    def state(self) -> EndpointState:
        if self.leaving or self.draining:
            return "draining"
        if self.health.due is not None:
            return "quarantined"
        return "up" if self.answered else "unknown"

    def model(self, name: str) -> PooledModel:
        found = self.models.get(name)
        if found is None:
            if len(self.models) >= _MANY_MODELS:  # names that somebody mistyped, for ever
                self.models = {name: it for name, it in self.models.items() if it.trial or it.health.wanted}
            found = self.models[name] = PooledModel()
        return found

    def well(self, model: str) -> bool:
        if self.leaving or self.health.due is not None:
            return False
        found = self.models.get(model)
        return found is None or found.open

    def want(self, model: str) -> None:
        """Take note that a request could use it if it were well."""
        self.health.wanted = self.model(model).health.wanted = True

    def due(self, model: str) -> float:
        """Return when it may be asked for the model again."""
        times = [health.due for health in (self.health, self.model(model).health) if health.due is not None]
        return max(times, default=-math.inf)

    def measured(self, time_to_first_token: float) -> None:
        """Take a time to the first token into the average."""
        mean = self.time_to_first_token
        news = time_to_first_token if mean is None else mean + _WEIGHT * (time_to_first_token - mean)
        self.time_to_first_token = news

    def view(self, now: float) -> Endpoint:
        """Return it as it is now."""
        return Endpoint(
            address=self.address,
            state=self.state,
            running=self.running,
            time_to_first_token=self.time_to_first_token,
            quarantined_models={
                name: model.health.remaining(now)
                for name, model in self.models.items()
                if not model.health.well
            },
        )
