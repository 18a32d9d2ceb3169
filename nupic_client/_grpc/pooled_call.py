"""Unary calls to one of several servers: where they may go, and what is left of their time."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls.flows import Attempts, Invoke, time_left
from nupic_client.errors import ConfigurationError, RequestError
from nupic_client.logs import log_retry

if TYPE_CHECKING:
    from nupic_client._core.calls.placement import Affinity
    from nupic_client._grpc.place import Place

__all__ = ["PooledCall", "attempt_of", "elsewhere", "noted", "tried_by", "with_time_left"]


class PooledCall:
    """A unary call on one of the servers.

    Args:
        call: of gRPC.
        member: the transport that began it.
        place: on its server.
        attempts: of the request.
    """

    __slots__ = ("attempts", "call", "member", "place")

    def __init__(self, call: Any, member: Any, place: Place, attempts: Attempts | None) -> None:
        self.call = call
        self.member = member
        self.place = place
        self.attempts = attempts
        call.add_done_callback(lambda _: place.release())

    def add_done_callback(self, function: Any) -> None:
        """Call a function with this when the call has ended."""
        self.call.add_done_callback(lambda _: function(self))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.call, name)


_CHANGES = frozenset(
    {
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "SystemSharedMemoryRegister",
        "SystemSharedMemoryUnregister",
        "CudaSharedMemoryRegister",
        "CudaSharedMemoryUnregister",
    }
)
"""Methods that change the server that they are sent to; so do the settings, unless there are none in the request."""


def attempt_of(command: Invoke, *, several: str = "") -> tuple[str, Affinity, Collection[str]]:
    """Return the model of a unary call, the session that it belongs to, and the servers where it failed already.

    Args:
        command: the call.
        several: the servers, if there may be several.

    Raises:
        ConfigurationError: it would change one of several servers.
    """
    attempts, request = command.attempts, command.request
    if several and (command.method in _CHANGES or getattr(request, "settings", None)):
        raise ConfigurationError(
            f"{command.method} must go to one server, not to any of {several}: call it on the clients of each()"
        )
    tried = tried_by(attempts)
    if attempts is not None and attempts.model:
        return attempts.model, attempts.session, tried
    # ModelConfig and ModelReady call it name, others model_name; most calls of the service concern no model.
    return getattr(request, "name", "") or getattr(request, "model_name", ""), None, tried


def tried_by(attempts: Attempts | None) -> Collection[str]:
    """Return the servers where the attempts of a call have failed."""
    return () if attempts is None else attempts.tried


def noted(command: Invoke, now: float) -> Invoke:
    """Return a call that notes its attempts; one that does not is tried again by nobody else: see `elsewhere`."""
    return Invoke(
        command.method, command.request, command.timeout, command.metadata, command.attempts or Attempts(now)
    )


def elsewhere(command: Invoke, error: RequestError, start: float, now: float) -> Invoke:
    """Return a call that failed, for another server.

    Args:
        command: from `noted`.
        error: of the attempt.
        start: clock reading when the first attempt began.
        now: clock reading.

    Raises:
        RequestError: no other server may do better.
    """
    failure = error if command.attempts is None else command.attempts.note(error, now)
    spent = command.timeout is not None and now - start >= command.timeout
    if spent or not failure.elsewhere:
        raise failure from error.__cause__
    log_retry(command.method, failure, 0.0)
    return command


def with_time_left(command: Invoke, waited: float) -> Invoke:
    """Return a call with the time that is left for it after it has waited."""
    if command.timeout is None:
        return command
    return command.with_timeout(time_left(command.timeout, waited))
