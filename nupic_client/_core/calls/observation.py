"""What an observer is told of a request: once that it begins, once how it ends, whatever ends it. Nothing here waits.

A client has an `Observing` for each observer, each call of it a `Watch`, each request an `Observation`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from nupic_client._core.calls.flows import READ_CLOCK, intercept_calls
from nupic_client._core.calls.metadata import metadata_under
from nupic_client._core.calls.stream_state import StreamState
from nupic_client.attempts import Attempt
from nupic_client.errors import NupicError, RequestError
from nupic_client.observe import (
    RequestContent,
    RequestInfo,
    RequestOutcome,
)
from nupic_client.results import FinishReason, Timing

if TYPE_CHECKING:
    from contextvars import Context

    from nupic_client._core.calls.flows import Attempts, Flow, Invoke, Metadata
    from nupic_client._core.calls.observing import Observing
    from nupic_client._core.calls.placement import Affinity
    from nupic_client._core.calls.watch import Watch
    from nupic_client.messages import Message
    from nupic_client.tools import Tool

__all__ = [
    "Observation",
    "bare",
    "named_session",
    "observed",
    "observing_failure",
]

T = TypeVar("T")


class Observation:
    """One request that an observer is told of. Thread-safe.

    Args:
        watch: of the call.
        told: the observers, each with its facts of the request; not empty.
        context: in which they were told of its beginning.
    """

    __slots__ = (
        "_clock",
        "_deferred",
        "_info",
        "_open",
        "_process",
        "_question",
        "_told",
        "_watch",
        "attempts",
        "context",
        "model",
    )

    def __init__(self, watch: Watch, told: list[tuple[Observing, RequestInfo]], context: Context) -> None:
        self._watch = watch
        self._told = told
        observing, self._info = told[0]
        self._process = os.getpid()
        self._clock = observing.clock
        self._deferred = observing.defer()
        self._question: tuple[str | tuple[Message, ...], tuple[Tool, ...]] | None = None
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
        """Whether an observer wants to know of the first text."""
        return any(each.on_first_token for each, _ in self._told)

    def metadata(self, given: Metadata) -> Metadata:
        """Return the metadata of a call with those of the observers under it."""
        if not self._watch.adds_metadata:
            return given
        return metadata_under(given, (each.made_metadata for each, _ in self._told if each.metadata))

    def asked(self, prompt: str | tuple[Message, ...], tools: tuple[Tool, ...]) -> None:
        """Take what is said in the request, for observers that want to know."""
        self._question = (prompt, tools)

    def sent(self, model: str, attempts: Attempts) -> None:
        """Take the facts of a unary call that is sent now."""
        self.model = model
        self.attempts = attempts
        attempts.observation = self

    def first(self, seconds: float) -> None:
        """Tell that the first text has come, so many seconds after the beginning."""
        for each, info in self._told:
            each.tell("on_first_token", info, seconds)

    def retried(self, error: Exception, pause: float, attempt: int) -> None:
        """Tell that the request is sent again. Arguments as of `Observer.on_retry`."""
        for each, info in self._told:
            if each.on_retry is not None:
                each.tell("on_retry", info, bare(error), pause, attempt)

    def finished(self) -> None:
        """Tell that a unary call was answered."""
        attempts, now = self.attempts, self._clock()
        tried = () if attempts is None else attempts.answered(self._info.target, now)
        self.ended(partial(self._unary, now, attempts=tried))

    def failed(self, error: Exception) -> None:
        """Tell that a request failed that is not, or not yet, a stream."""
        now = self._clock()
        if isinstance(error, RequestError):
            model, tried = self.model or error.model, error.attempts
        else:
            model, tried = self.model, ()
        self.ended(partial(self._unary, now, model=model, attempts=tried, error=bare(error)))

    def cancelled(self, *, dropped: bool = False) -> None:
        """Tell that a request was left that is not, or not yet, a stream. `dropped` as for `ended`."""
        attempts, now = self.attempts, self._clock()
        tried: tuple[Attempt, ...] = ()
        if attempts is not None:
            last = Attempt(attempts.endpoint or self._info.target, "CANCELLED", now - attempts.begun)
            tried = (*attempts.failed, last)
        reason = None if self._info.sampling is None else FinishReason.CANCELLED
        make = partial(self._unary, now, attempts=tried, cancelled=True, finish_reason=reason)
        self.ended(make, dropped=dropped)

    def ended(
        self,
        make: Callable[[], RequestOutcome],
        answer: Callable[[], Message | None] | None = None,
        *,
        dropped: bool = False,
    ) -> None:
        """Tell of the end, the first time that this is called.

        Args:
            make: makes the outcome.
            answer: returns the answer so far; None where there is none.
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
        tell = partial(self._tell_end, make, answer)
        if dropped:
            self._deferred.submit(tell)
        else:
            self._deferred.release()
            tell()

    def _tell_end(
        self, make: Callable[[], RequestOutcome], answer: Callable[[], Message | None] | None
    ) -> None:
        outcome, content = make(), None
        if self._question is not None:
            prompt, tools = self._question
            content = RequestContent(prompt=prompt, tools=tools, answer=answer and answer())
        for each, info in self._told:
            if content is not None and each.on_content is not None:
                each.tell("on_content", info, content)
            each.tell("on_end", info, outcome)

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
    flow = make(observation)
    if watch.adds_metadata:
        flow = intercept_calls(flow, partial(_with_metadata, observation))
    try:
        result = yield from flow
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


def _with_metadata(observation: Observation, call: Invoke) -> Flow[Any]:
    return (yield call.with_metadata(observation.metadata(call.metadata)))


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
