"""Operations of several steps, written once: generators that yield commands and receive their outcomes.

A short driver in ``_sync`` and one in ``_async`` perform the commands.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from nupic_client._core.calls.placement import Affinity, Placement, tried
from nupic_client._core.calls.retry import may_retry, next_pause
from nupic_client.attempts import Attempt
from nupic_client.errors import DeadlineExceededError, RequestError
from nupic_client.logs import log_retry
from nupic_client.timeouts import NO_RETRIES, RetryPolicy

if TYPE_CHECKING:
    from nupic_client._core.calls.metadata import MetadataSource
    from nupic_client._core.calls.observation import Observation

__all__ = [
    "READ_CLOCK",
    "Attempts",
    "Command",
    "DrawJitter",
    "FetchMetadata",
    "FetchToken",
    "Flow",
    "Invoke",
    "Metadata",
    "ReadClock",
    "SentMetadata",
    "Sleep",
    "completing",
    "intercept_calls",
    "retrying",
    "time_left",
    "tried_once",
    "with_deadline",
]

T = TypeVar("T")
SentMetadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
Metadata: TypeAlias = "SentMetadata | MetadataSource"
"""What is sent with a call, or makes it for each call."""


class Attempts:
    """The attempts of one call: those that failed, and the one that runs or was answered.

    Args:
        start: clock reading when the first one begins.
        model: the server's name of the model; empty for what concerns none.
        session: that the call belongs to.
    """

    __slots__ = ("begun", "call", "endpoint", "failed", "model", "observation", "place", "queued", "session")

    def __init__(self, start: float, model: str = "", session: Affinity = None) -> None:
        self.model: str = model
        self.session: Affinity = session
        self.observation: Observation | None = None
        """Told of the attempts."""
        self.begun: float = start
        """Clock reading when the attempt began that runs, or ran last."""
        self.failed: tuple[Attempt, ...] = ()
        self.endpoint: str = ""
        """The server of the attempt that runs or was answered, if there are several; else empty."""
        self.queued: bool = False
        """Whether the next attempt waits for a server: it went to none yet."""
        self.place: Placement | None = None
        """What it waits for then, so that it can be left."""
        self.call: Any = None
        """The object of gRPC for the attempt that was answered, which knows its metadata."""

    @property
    def tried(self) -> list[str]:
        """The servers where attempts have failed."""
        return tried(self.failed)

    @property
    def count(self) -> int:
        """How many there are, with the one that runs or was answered."""
        return len(self.failed) + 1

    def note(self, error: RequestError, now: float) -> RequestError:
        """Note that the attempt that runs has failed; return its error with all attempts so far."""
        if self.queued:
            return error.with_facts(attempts=self.failed)
        self.failed = (*self.failed, Attempt(error.target, error.status, now - self.begun))
        self.begun = now
        return error.with_facts(attempts=self.failed)

    def repeats(self, error: RequestError, pause: float) -> None:
        """Tell an observer that the call is made again after a pause, because the last attempt failed with this error."""
        if self.observation is not None:
            self.observation.retried(error, pause, len(self.failed))

    def answered(self, target: str, now: float) -> tuple[Attempt, ...]:
        """Return all attempts, the last of which was answered.

        Args:
            target: the server, where there is one only.
            now: clock reading.
        """
        return (*self.failed, Attempt(self.endpoint or target, "OK", now - self.begun))


@dataclass(slots=True)
class Invoke:
    """Call a unary method and reply with its response, or throw its error in. Not changed by those who perform it.

    Args:
        method: name of the method, e.g. ``"ModelConfig"``.
        request: its request message, or the bytes of one.
        timeout: seconds, or None for no limit.
        metadata: sent with the call.
        attempts: filled in, for those who tell about them.
    """

    method: str
    request: Any = field(repr=False)  # it may contain the prompt
    timeout: float | None = None
    metadata: Metadata = field(default=(), repr=False)  # it may be secret
    attempts: Attempts | None = field(default=None, repr=False, compare=False)

    def with_metadata(self, metadata: Metadata) -> Invoke:
        """Return the same call with other metadata."""
        return Invoke(self.method, self.request, self.timeout, metadata, self.attempts)

    def with_timeout(self, timeout: float | None) -> Invoke:
        """Return the same call with another timeout."""
        return Invoke(self.method, self.request, timeout, self.metadata, self.attempts)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for some seconds; replies with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadClock:
    """Reply with a monotonic clock reading, in seconds."""


READ_CLOCK = ReadClock()
"""One for all requests."""


@dataclass(frozen=True, slots=True)
class DrawJitter:
    """Reply with a random number from 0 to 1, 1 excluded."""


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Call a function and reply with its result; an async driver awaits a result that can be awaited."""

    source: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class FetchMetadata:
    """Call a function, in this thread, and reply with its result; an async driver awaits a result that can be awaited."""

    source: Callable[[], Any]


Command: TypeAlias = Invoke | Sleep | ReadClock | DrawJitter | FetchToken | FetchMetadata
Flow: TypeAlias = Generator[Command, Any, T]


def completing(flow: Flow[T], *, model: str, target: str = "", request_id: str = "") -> Flow[T]:
    """Run a flow and complete its errors: these facts are added where they are missing."""
    try:
        return (yield from flow)
    except RequestError as error:
        failure = error.completed(model=model, target=target, request_id=request_id)
        raise failure from error.__cause__


def with_deadline(
    flow: Flow[T],
    timeout: float | None,
    policy: RetryPolicy = NO_RETRIES,
    observation: Observation | None = None,
) -> Flow[T]:
    """Run a flow with one deadline for all its calls, and retry each call where that may help.

    Args:
        flow: the flow.
        timeout: seconds for the whole flow, or None for no limit. Each call may take the time that is left.
        policy: for the retries of each call.
        observation: told of the retries; None without an observer.

    Raises:
        DeadlineExceededError: the deadline passed.
    """
    start: float = yield READ_CLOCK
    end = None if timeout is None else start + timeout
    try:
        return (
            yield from intercept_calls(flow, lambda call: _call_with_retries(call, end, policy, observation))
        )
    except DeadlineExceededError as error:
        now: float = yield READ_CLOCK
        raise error.with_facts(limit=timeout, elapsed=now - start) from error.__cause__


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
            except BaseException as error:  # noqa: BLE001 - a flow raises again what it does not handle
                command = flow.throw(error)
            else:
                command = flow.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _call_with_retries(
    command: Invoke, end: float | None, policy: RetryPolicy, observation: Observation | None
) -> Flow[Any]:
    """Make a call, with retries, until ``end``."""
    now: float = yield READ_CLOCK
    timeout = command.timeout if end is None else time_left(end, now)
    attempts = command.attempts or Attempts(now)
    attempts.observation = attempts.observation or observation
    command = Invoke(command.method, command.request, timeout, command.metadata, attempts)
    try:
        return (yield command)
    except RequestError as error:
        return (yield from retrying(command, error, end, policy))


def retrying(command: Invoke, error: RequestError, end: float | None, policy: RetryPolicy) -> Flow[Any]:
    """Go on with a call whose first attempt failed: try again while that may help, else raise the error.

    Args:
        command: the call.
        error: of its first attempt.
        end: clock reading until which it may go on, or None.
        policy: for its retries.
    """
    attempts = command.attempts
    attempt = 1
    while True:
        now: float = yield READ_CLOCK
        failure = error if attempts is None else attempts.note(error, now)
        pause: float | None = None
        if may_retry(policy, failure, attempt):
            jitter: float = yield DrawJitter()
            pause = next_pause(
                policy, failure, attempt=attempt, left=None if end is None else end - now, jitter=jitter
            )
        if pause is None:
            raise failure from error.__cause__
        log_retry(command.method, failure, pause)
        if attempts is not None:
            attempts.repeats(failure, pause)
        yield Sleep(pause)
        attempt += 1
        now = yield READ_CLOCK
        if attempts is not None:
            attempts.begun = now
        if end is not None:
            command = command.with_timeout(time_left(end, now))
        try:
            return (yield command)
        except RequestError as again:
            error = again


def tried_once(error: RequestError, seconds: float) -> RequestError:
    """Return the error of a call, with an attempt where it tells of none."""
    if error.attempts:
        return error
    return error.with_facts(attempts=(Attempt(error.target, error.status, seconds),))


def time_left(end: float, now: float) -> float:
    """Return the seconds left. A call without time left fails at once, with the same error as any other deadline."""
    return max(end - now, 0.001)
