"""Operations of several steps, written once: generators that yield what to wait for and receive its outcome.

A driver of eight lines in ``_sync`` and one in ``_async`` perform the commands.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from nupic_client._core.calls.retry import next_pause
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.signature_messages import signature_from_config, signature_from_metadata
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
    RequestError,
    RequestRejectedError,
)
from nupic_client.logs import log_retry
from nupic_client.signature import ModelSignature
from nupic_client.timeouts import NO_RETRIES, RetryPolicy

__all__ = [
    "Command",
    "DrawJitter",
    "FetchToken",
    "Flow",
    "Invoke",
    "ReadClock",
    "Sleep",
    "describe_model",
    "intercept_calls",
    "wait_until_ready",
    "with_deadline",
]

T = TypeVar("T")
Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"


@dataclass(frozen=True, slots=True)
class Invoke:
    """Call a unary method and reply with its response, or throw its error in.

    Args:
        method: name of the method, e.g. ``"ModelConfig"``.
        request: its request message.
        timeout: seconds, or None for no limit.
        metadata: sent with the call.
        on_repeat: called whenever the call is made again, so that who made it can count.
    """

    method: str
    request: Any = field(repr=False)  # it may have the prompt
    timeout: float | None = None
    metadata: Metadata = field(default=(), repr=False)  # it may be secret
    on_repeat: Callable[[], object] = field(default=lambda: None, repr=False, compare=False)

    def with_metadata(self, metadata: Metadata) -> Invoke:
        """Return the same call with other metadata."""
        return replace(self, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for some seconds; replies with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadClock:
    """Reply with a monotonic clock reading, in seconds."""


@dataclass(frozen=True, slots=True)
class DrawJitter:
    """Reply with a random number from 0 to 1, 1 excluded."""


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Call a function and reply with what it returns; what can be awaited is awaited where calls do not block."""

    source: Callable[[], Any]


Command: TypeAlias = "Invoke | Sleep | ReadClock | DrawJitter | FetchToken"
Flow: TypeAlias = "Generator[Command, Any, T]"


def describe_model(
    model: str, version: str = "", *, timeout: float | None = None, metadata: Metadata = ()
) -> Flow[ModelSignature]:
    """Ask the server what a model takes and gives: one round trip.

    ModelConfig says everything that ModelMetadata does and what it does not (optional inputs, decoupled). It is a Triton
    extension: servers without it are asked for the metadata.

    Raises:
        ModelUnavailableError: the server does not have the model.
        RequestError: any other failure.
    """
    try:
        request = wire.pb.ModelConfigRequest(name=model, version=version)
        response = yield Invoke("ModelConfig", request, timeout, metadata)
        return signature_from_config(response.config)
    except RequestRejectedError as error:
        if error.status != "UNIMPLEMENTED":
            raise
    request = wire.pb.ModelMetadataRequest(name=model, version=version)
    response = yield Invoke("ModelMetadata", request, timeout, metadata)
    return signature_from_metadata(response)


def with_deadline(flow: Flow[T], timeout: float | None, policy: RetryPolicy = NO_RETRIES) -> Flow[T]:
    """Run a flow of several calls within one deadline: each call may take what is left of it.

    Args:
        flow: the flow.
        timeout: seconds for all of it, or None for no limit.
        policy: how often each call is made again.

    Raises:
        DeadlineExceededError: nothing was left for the next call.
    """
    start: float = yield ReadClock()
    end = None if timeout is None else start + timeout
    return (yield from intercept_calls(flow, lambda call: _call_with_retries(call, end, policy)))


def intercept_calls(flow: Flow[T], perform: Callable[[Invoke], Flow[Any]]) -> Flow[T]:
    """Run a flow with each of its calls performed by another flow."""
    try:
        command = next(flow)
        while True:
            try:
                if isinstance(command, Invoke):
                    reply = yield from perform(command)
                else:
                    reply = yield command
            except Exception as error:  # noqa: BLE001 - the flow raises it again if it is not its own
                command = flow.throw(error)
            else:
                command = flow.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _call_with_retries(command: Invoke, end: float | None, policy: RetryPolicy) -> Flow[Any]:
    """Make a call, again if it may help, until ``end``."""
    attempt = 1
    while True:
        if end is not None:
            now: float = yield ReadClock()
            # A call without any time left fails at once, in the words of every other deadline.
            left = max(end - now, 0.001)
            command = replace(command, timeout=min(left, command.timeout or left))
        try:
            return (yield command)
        except RequestError as error:
            error.attempts = attempt
            if not error.retryable or attempt > policy.max_retries:
                raise
            pause = yield from _pause(error, attempt, end, policy)
            log_retry(command.method, error, pause)
        yield Sleep(pause)
        attempt += 1
        command.on_repeat()


def _pause(error: RequestError, attempt: int, end: float | None, policy: RetryPolicy) -> Flow[float]:
    now: float = yield ReadClock()
    jitter: float = yield DrawJitter()
    left = None if end is None else end - now
    pause = next_pause(policy, error, attempt=attempt, left=left, jitter=jitter)
    if pause is None:
        raise error
    return pause


_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_SHORTEST_CALL = 0.1
_LONGEST_CALL = 5.0


def wait_until_ready(
    model: str, *, timeout: float | None, target: str, metadata: Metadata = ()
) -> Flow[None]:
    """Poll until the server and the model are ready.

    Args:
        model: the server's name of the model; empty to wait for the server alone.
        timeout: seconds, or None to wait without limit.
        target: the server, for the error text.
        metadata: sent with the calls.

    Raises:
        DeadlineExceededError: not ready in time; it says what was missing.
        RequestError: waiting cannot help, e.g. wrong credentials.
    """
    start: float = yield ReadClock()
    now = start
    pause = _FIRST_PAUSE
    while True:
        left = None if timeout is None else start + timeout - now
        problem = yield from _readiness(model, left, metadata)
        if problem is None:
            return
        now = yield ReadClock()
        left = None if timeout is None else start + timeout - now
        if left is not None and left <= 0:
            raise DeadlineExceededError(
                f"not ready after {timeout:g} s: {problem}",
                limit=timeout,
                elapsed=now - start,
                model=model,
                target=target,
            )
        yield Sleep(pause if left is None else min(pause, left))
        now = yield ReadClock()
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _readiness(model: str, left: float | None, metadata: Metadata) -> Flow[str | None]:
    """Return what is not ready, or None. The last question, when no time is left, is a short one."""
    patience = _LONGEST_CALL if left is None else min(max(left, _SHORTEST_CALL), _LONGEST_CALL)
    try:
        server = yield Invoke("ServerReady", wire.pb.ServerReadyRequest(), patience, metadata)
        if not server.ready:
            return "the server says it is not ready"
        if not model:
            return None
        ready = yield Invoke("ModelReady", wire.pb.ModelReadyRequest(name=model), patience, metadata)
    except ConnectionFailedError as error:
        if not error.retryable:  # waiting does not mend a certificate
            raise
        return error.message
    except (ModelUnavailableError, DeadlineExceededError) as error:
        return error.message
    except AuthenticationError:
        raise
    except RequestError as error:
        if error.status == "UNIMPLEMENTED":
            raise
        return error.message
    return None if ready.ready else f"the server has no model {model!r} that is ready"
