"""The requests of one call of a client, for its observers: each of them is an `Observation`."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.observation import Observation
from nupic_client.observe import RequestInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nupic_client._core.calls.observing import Observing
    from nupic_client.observe import Operation

__all__ = ["Watch", "watching"]


class Watch:
    """The requests of one call of a client, such as those of a ``map``. Thread-safe.

    Args:
        observers: whom to tell, at least one.
        operation: the method of the client.
        streaming: whether the answers are asked for in pieces, or None.
        session: that the requests belong to.
    """

    __slots__ = (
        "_context",
        "_running",
        "adds_metadata",
        "observers",
        "operation",
        "session",
        "streaming",
        "wants_content",
    )

    def __init__(
        self, observers: list[Observing], operation: Operation, *, streaming: bool | None, session: str
    ) -> None:
        self.observers: list[Observing] = observers
        self.adds_metadata: bool = any(each.metadata for each in observers)
        """Whether an observer makes metadata."""
        self.wants_content: bool = any(each.on_content for each in observers)
        """Whether an observer is to be told what was said."""
        self.operation = operation
        self.streaming: bool | None = streaming
        self.session: str = session
        self._context = copy_context()
        self._running: set[Observation] = set()

    def begin(self, start: float, **facts: Any) -> Observation:
        """Tell that a request begins.

        Args:
            start: clock reading.
            **facts: of `RequestInfo`.
        """
        facts = {
            "operation": self.operation,
            "streaming": self.streaming,
            "started": start,
            **facts,
        }
        facts["session"] = facts.get("session") or self.session
        context = self._context.copy()
        told = []
        for each in self.observers:  # each has an info of its own, for its own `context`
            info = RequestInfo(**facts)
            object.__setattr__(info, "context", each.tell("on_start", info, context=context))
            told.append((each, info))
        observation = Observation(self, told, context)
        self._running.add(observation)
        return observation

    def over(self, observation: Observation) -> None:
        """Forget a request that has ended."""
        self._running.discard(observation)

    def leave(self, *, dropped: bool = False) -> None:
        """Tell of the requests that run that they were left. Takes no lock.

        Args:
            dropped: whether a destructor calls this.
        """
        for observation in tuple(self._running):
            observation.cancelled(dropped=dropped)


def watching(
    observers: Iterable[Observing | None],
    operation: Operation,
    *,
    streaming: bool | None = False,
    session: str = "",
) -> Watch | None:
    """Return what tells of the requests of one call, in the context of the caller; None where nobody wants to know.

    Args:
        observers: of the client, and of all clients; None for those that could not be copied.
        operation: the method of the client.
        streaming: as for `Watch`.
        session: as for `Watch`.
    """
    told = [each for each in observers if each is not None and each.wanted(operation)]
    return Watch(told, operation, streaming=streaming, session=session) if told else None
