"""The server that a request is sent to, where there are several. Nothing here waits."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nupic_client.errors import DeadlineExceededError

if TYPE_CHECKING:
    from nupic_client.attempts import Attempt
    from nupic_client.errors import RequestError

__all__ = ["Affinity", "Pin", "Placement", "no_room", "tried"]

_OF_THE_CALLER = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})


class Pin:
    """What keeps requests together that must all reach one server: the first one chooses it."""

    __slots__ = ("address",)

    def __init__(self) -> None:
        self.address: str = ""


Affinity: TypeAlias = "str | Pin | None"
"""The session that a request belongs to, where requests of a session should, or must, go to the same server."""


def no_room(limit: float | None, deadline: str, target: str) -> DeadlineExceededError:
    """Return the error of a request that waited for a server for too long.

    Args:
        limit: seconds that it was allowed to wait.
        deadline: the name of the deadline that this is.
        target: the servers.
    """
    name = "timeout" if deadline == "total" else f"{deadline} timeout"
    return DeadlineExceededError(
        f"no server had room for this request within {limit or 0.0:g} s ({name}): each runs as many as max_outstanding"
        " allows",
        deadline=deadline,
        limit=limit,
        target=target,
        retryable=True,
    )


class Placement(Protocol):
    """The place of one attempt on a server, from the choice to its end. Thread-safe."""

    address: str
    """Of the server."""

    def failed(self, error: RequestError, tried: Collection[str]) -> RequestError:
        """Note that the attempt failed, once; return the error, which says whether to try elsewhere.

        Args:
            error: of the attempt.
            tried: the addresses where earlier attempts failed.
        """
        ...

    def answered(self, first_response: float | None = None) -> None:
        """Note that the server answers: with its first response, and again at the end.

        Args:
            first_response: clock reading of the first response of a stream, at its end.
        """
        ...

    def release(self) -> None:
        """Give the place back. Idempotent."""
        ...

    def leave(self) -> None:
        """End the wait for it soon. Takes no lock, for destructors."""
        ...

    def drop(self, *, answered: bool, first_response: float | None = None) -> None:
        """Give the place back soon. Takes no lock, for destructors.

        Args:
            answered: whether the server answered.
            first_response: as for `answered`.
        """
        ...


def tried(failed: Iterable[Attempt]) -> list[str]:
    """Return the servers where attempts have failed by their own fault; a refused token is not one."""
    return [attempt.endpoint for attempt in failed if attempt.status not in _OF_THE_CALLER]
