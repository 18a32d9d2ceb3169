"""What an observer is told of a request: once that it begins, once how it ends, whatever ends it. Nothing here waits.

A client has an `Observing`, each call of it a `Watch`, each request an `Observation`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nupic_client._core.calls.flows import READ_CLOCK
from nupic_client._core.calls.stream_state import StreamState
from nupic_client.attempts import Attempt
from nupic_client.errors import ConfigurationError, NupicError, RequestError
from nupic_client.logs import logger
from nupic_client.observe import Observer, RequestInfo, RequestOutcome
from nupic_client.results import FinishReason, Timing

if TYPE_CHECKING:
    from nupic_client._core.calls.flows import Attempts, Flow
    from nupic_client._core.calls.placement import Affinity
    from nupic_client.observe import Operation

__all__ = ["Observation", "Observing", "Watch", "bare", "named_session", "observed", "observing_failure"]

T = TypeVar("T")

_METHODS = ("on_start", "on_first_token", "on_retry", "on_end")


class Deferred(Protocol):
    """A place to call a function later from, where no lock is held: destructors may interrupt code that holds some."""

    def submit(self, function: Callable[[], object]) -> None:
        """Call a function soon. For destructors too; the last use of this object."""
        ...

    def release(self) -> None:
        """Call nothing; the last use of this object."""
        ...


class Observing:
    """An observer, with its methods looked up once. Thread-safe.

    A pickled copy has none if the observer cannot be pickled.

    Args:
        observer: of a client.
        clock: the monotonic clock.
        defer: makes a place to call the observer from later.

    Raises:
        ConfigurationError: it has none of the methods, or one that cannot be called.
    """

    __slots__ = ("_alive", "clock", "defer", "observer", *_METHODS)

    on_start: Callable[..., object] | None
    on_first_token: Callable[..., object] | None
    on_retry: Callable[..., object] | None
    on_end: Callable[..., object] | None

    def __init__(self, observer: Any, clock: Callable[[], float], defer: Callable[[], Deferred]) -> None:
        self.observer = observer
        self.clock = clock
        self.defer = defer
        self._alive = [self]  # who pops it reports the failure
        for name in _METHODS:
            setattr(self, name, _method(observer, name))
        if not any(getattr(self, name) for name in _METHODS):
            raise ConfigurationError(
                f"observer must have at least one of the methods {', '.join(_METHODS)}, not"
                f" {type(observer).__name__}",
                parameter="observer",
            )

    def watch(
        self, operation: Operation, *, streaming: bool | None = False, session: str = ""
    ) -> Watch | None:
        """Return what tells of the requests of one call, in the context of the caller; None if the observer was dropped."""
        return None if self.dropped else Watch(self, operation, streaming=streaming, session=session)

    @property
    def dropped(self) -> bool:
        """Whether the observer raised, and is not called any more."""
        return not self._alive

    def tell(self, name: str, *arguments: Any, context: Context | None = None) -> Any:
        """Call a method of the observer; an exception in it is logged, and the observer is dropped.

        Ctrl-C passes: it is meant for the program.
        """
        method = getattr(self, name)
        if method is None:
            return None
        try:
            return method(*arguments) if context is None else context.run(method, *arguments)
        except Exception:  # noqa: BLE001 - an observer must not end the requests that it observes
            self._drop(name)
            return None

    def _drop(self, name: str) -> None:
        for each in _METHODS:
            setattr(self, each, None)
        try:
            self._alive.pop()
        except IndexError:
            return
        kind = type(self.observer).__name__
        logger.error("observer %s is not called any more: %s raised", kind, name, exc_info=True)

    def __copy__(self) -> Observing:
        return self

    def __deepcopy__(self, memo: object) -> Observing:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        import pickle  # noqa: PLC0415 - it was imported by now

        try:
            pickle.dumps(self.observer)
        except Exception:  # noqa: BLE001 - anything, from the objects that it holds
            logger.warning("observer %s cannot be pickled: a copy has none", type(self.observer).__name__)
            return _nothing, ()
        return Observing, (self.observer, self.clock, self.defer)


class Watch:
    """The requests of one call of a client, such as those of a ``map``. Thread-safe.

    Args:
        observing: whom to tell.
        operation: the method of the client.
        streaming: whether the answers are asked for in pieces, or None.
        session: that the requests belong to.
    """

    __slots__ = ("_context", "_running", "observing", "operation", "session", "streaming")

    def __init__(
        self, observing: Observing, operation: Operation, *, streaming: bool | None, session: str
    ) -> None:
        self.observing: Observing = observing
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
        info = RequestInfo(**facts)
        object.__setattr__(info, "context", self.observing.tell("on_start", info, context=context))
        observation = Observation(self, info, context)
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


class Observation:
    """One request that an observer is told of. Thread-safe.

    Args:
        watch: of the call.
        info: the request.
        context: in which the observer was told of its beginning.
    """

    __slots__ = (
        "_deferred",
        "_info",
        "_observing",
        "_open",
        "_process",
        "_watch",
        "attempts",
        "context",
        "model",
    )

    def __init__(self, watch: Watch, info: RequestInfo, context: Context) -> None:
        self._watch = watch
        self._observing = watch.observing
        self._info = info
        self._process = os.getpid()
        self._deferred = watch.observing.defer()
        self._open = [self]  # who pops it tells of the end: no lock, because destructors do
        self.context: Context = context
        self.model: str = ""
        """The server's name of the model."""
        self.attempts: Attempts | None = None
        """Those of a unary call."""

    @property
    def request_id(self) -> str:
        """The id of the request."""
        return self._info.request_id

    @property
    def wants_first(self) -> bool:
        """Whether the observer wants to know of the first text."""
        return self._observing.on_first_token is not None

    def sent(self, model: str, attempts: Attempts) -> None:
        """Take the facts of a unary call that is sent now."""
        self.model = model
        self.attempts = attempts
        attempts.observation = self

    def first(self, seconds: float) -> None:
        """Tell that the first text has come, so many seconds after the beginning."""
        self._observing.tell("on_first_token", self._info, seconds)

    def retried(self, error: Exception, pause: float, attempt: int) -> None:
        """Tell that the request is sent again. Arguments as of `Observer.on_retry`."""
        if self._observing.on_retry is not None:
            self._observing.tell("on_retry", self._info, bare(error), pause, attempt)

    def finished(self) -> None:
        """Tell that a unary call was answered."""
        attempts, now = self.attempts, self._observing.clock()
        tried = () if attempts is None else attempts.answered(self._info.target, now)
        self.ended(partial(self._unary, now, attempts=tried))

    def failed(self, error: Exception) -> None:
        """Tell that a request failed that is not, or not yet, a stream."""
        now = self._observing.clock()
        if isinstance(error, RequestError):
            model, tried = self.model or error.model, error.attempts
        else:
            model, tried = self.model, ()
        self.ended(partial(self._unary, now, model=model, attempts=tried, error=bare(error)))

    def cancelled(self, *, dropped: bool = False) -> None:
        """Tell that a request was left that is not, or not yet, a stream. `dropped` as for `ended`."""
        attempts, now = self.attempts, self._observing.clock()
        tried: tuple[Attempt, ...] = ()
        if attempts is not None:
            last = Attempt(attempts.endpoint or self._info.target, "CANCELLED", now - attempts.begun)
            tried = (*attempts.failed, last)
        reason = None if self._info.sampling is None else FinishReason.CANCELLED
        make = partial(self._unary, now, attempts=tried, cancelled=True, finish_reason=reason)
        self.ended(make, dropped=dropped)

    def ended(self, make: Callable[[], RequestOutcome], *, dropped: bool = False) -> None:
        """Tell of the end, the first time that this is called.

        Args:
            make: makes the outcome.
            dropped: whether a destructor calls this; then the observer is told later, because the code that was interrupted
                may hold locks.
        """
        try:
            self._open.pop()
        except IndexError:
            return
        self._watch.over(self)
        # They know this object, and a call of gRPC, which must not wait for the garbage collector.
        self.attempts = None
        if self._process != os.getpid():  # the parent will tell
            return
        tell = partial(self._tell_end, make)
        if dropped:
            self._deferred.submit(tell)
        else:
            self._deferred.release()
            tell()

    def _tell_end(self, make: Callable[[], RequestOutcome]) -> None:
        if self._observing.on_end is not None:
            self._observing.tell("on_end", self._info, make())

    def _unary(self, now: float, **facts: Any) -> RequestOutcome:
        timing = Timing(total=now - self._info.started)
        return RequestOutcome(**{"model": self.model, "timing": timing, **facts})


def observed(watch: Watch, make: Callable[[Observation], Flow[T]], **facts: Any) -> Flow[T]:
    """Run the flow of one request, and tell of it; a flow that ends with a session leaves the end of the request to that.

    Args:
        watch: of the call.
        make: makes the flow.
        **facts: of `RequestInfo`.
    """
    start: float = yield READ_CLOCK
    observation = watch.begin(start, **facts)
    try:
        result = yield from make(observation)
    except GeneratorExit:
        observation.cancelled(dropped=True)
        raise
    except Exception as error:
        observation.failed(error)
        raise
    except BaseException:  # the task was cancelled, or Ctrl-C came
        observation.cancelled()
        raise
    if not isinstance(result, StreamState):
        observation.finished()
    return result


def observing_failure(watch: Watch, flow: Flow[T], **facts: Any) -> Flow[T]:
    """Run a flow that comes before requests, such as the question for a model; tell of its failure as of a request's.

    Arguments as of `observed`.
    """
    start: float = yield READ_CLOCK
    try:
        return (yield from flow)
    except Exception as error:
        watch.begin(start, **facts).failed(error)
        raise


def named_session(session: Affinity) -> str:
    """Return the session that a caller named; the one of an `InferenceSequence` has no name."""
    return session if isinstance(session, str) else ""


def bare(error: Exception) -> Exception:
    """Return an error without what was said and what keeps objects alive; an error of others as it is."""
    if not isinstance(error, NupicError):
        return error
    said = {"partial_text": "", "partial_results": (), "trailing_metadata": ()}
    shown = error.with_facts(**(said if isinstance(error, RequestError) else {})).with_traceback(None)
    shown.__cause__ = shown.__context__ = None
    return shown


def _method(observer: object, name: str) -> Callable[..., object] | None:
    """Return a method of an observer; None for one that it does not have, or has of `Observer` itself.

    Raises:
        ConfigurationError: it cannot be called, or is async.
    """
    method = getattr(observer, name, None)
    if method is None or getattr(method, "__func__", None) is getattr(Observer, name):
        return None
    if not callable(method) or inspect.iscoroutinefunction(method) or isinstance(observer, type):
        kind = f"the class {observer.__name__}" if isinstance(observer, type) else f"{method!r}"
        advice = "make an object of it" if isinstance(observer, type) else "observers are told, not awaited"
        raise ConfigurationError(
            f"observer.{name} must be a plain method of an object, not {kind}: {advice}", parameter="observer"
        )
    return method  # type: ignore[no-any-return]


def _nothing() -> None:
    """Return the `Observing` of a copy whose observer could not be copied."""
