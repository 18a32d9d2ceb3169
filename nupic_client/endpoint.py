"""The servers of a client: how one is chosen, and how they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from nupic_client._public import publish

__all__ = ["BALANCING", "Balancing", "Endpoint", "EndpointState"]

Balancing: TypeAlias = Literal["least-busy", "round-robin", "sticky"]
"""How one of several servers is chosen for a request: the one that runs the fewest requests of this client; each in turn; or
the same one for all requests of a session."""
BALANCING: tuple[Balancing, ...] = ("least-busy", "round-robin", "sticky")

EndpointState: TypeAlias = Literal["unknown", "up", "draining", "quarantined"]
"""What a client knows of a server: nothing yet; it answers; it takes no new requests; it failed, and is asked again soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server of a client as it is now, from ``client.endpoints()``.

    Args:
        address: ``host:port``, or the path of a unix socket.
        state: ``"unknown"``, ``"up"``, ``"draining"`` or ``"quarantined"``.
        running: requests of this client that run on it now.
        time_to_first_token: seconds, a moving average; None where nothing was measured.
        quarantined_models: models that failed on it while the server itself is well: the seconds until each is asked again.
    """

    address: str
    """``host:port``, or the path of a unix socket."""
    state: EndpointState = "unknown"
    """``"unknown"``, ``"up"``, ``"draining"`` or ``"quarantined"``."""
    running: int = 0
    """Requests of this client that run on it now."""
    time_to_first_token: float | None = None
    """Seconds, a moving average; None where nothing was measured."""
    quarantined_models: Mapping[str, float] = field(default_factory=dict)
    """Models that failed on it while the server itself is well: the seconds until each is asked again."""


publish(__name__)
