"""The attempts of a request: where each went, and what came of it."""

from __future__ import annotations

from typing import NamedTuple

from nupic_client._public import publish
from nupic_client._repr import rounded

__all__ = ["Attempt"]


class Attempt(NamedTuple):
    """One attempt of a request.

    Args:
        endpoint: the address of the server that it was sent to.
        status: the gRPC status name such as ``"UNAVAILABLE"``, also for errors inside a stream; ``"OK"`` for an attempt
            that was answered, ``"CANCELLED"`` for one that the caller left, empty for errors without one.
        seconds: its duration.
    """

    endpoint: str
    """The address of the server that it was sent to."""
    status: str
    """The gRPC status name such as ``"UNAVAILABLE"``, also for errors inside a stream; ``"OK"`` for an attempt that
    was answered, ``"CANCELLED"`` for one that the caller left, empty for errors without one."""
    seconds: float
    """Its duration."""

    def __repr__(self) -> str:
        return f"Attempt(endpoint={self.endpoint!r}, status={self.status!r}, seconds={rounded(self.seconds)})"


publish(__name__)
