"""Many requests at once, read by blocking."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

from typing_extensions import Self

from nupic_client._core.calls import flows
from nupic_client._core.calls.bulk import NOTHING, AwaitTurn, BulkPipeline, Job, Outcome, ReadAnswer
from nupic_client._core.calls.watch import Watch
from nupic_client._grpc import fork
from nupic_client._public import publish
from nupic_client._sync.calls import Calls
from nupic_client._sync.driver import Driver
from nupic_client.errors import NupicError, StreamClosedError, StreamConsumedError

__all__ = ["ResultStream"]

T = TypeVar("T")
AnyPipeline: TypeAlias = BulkPipeline[Any]

_LOOK_AFTER = 0.002
"""Seconds after which a reader who takes results that are ready looks for calls that have ended: they make room for more."""


class ResultStream(Generic[T]):
    """The results of many inputs, from `InferenceClient.map` and `StreamingClient.map`.

    Iterate over it. Inputs are read and requests are sent while it is read, a bounded number ahead. Leaving
    it cancels the running requests: the end of a ``with`` block, ``break`` out of a ``for`` loop, an exception,
    `close()` from any thread, or dropping it. One thread reads; no other thread runs anything of the
    caller's.

    Example:
        .. code-block:: python

            with client.map(batches, concurrency=8) as results:
                for result in results:
                    print(result.only.shape)
    """

    _closed = False
    _consumed = False

    def __init__(
        self,
        transport: Driver,
        opening: AnyPipeline | flows.Flow[Any],
        inputs: Iterable[Any],
        callback: Callable[[int, Any], object] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._calls: Calls | None = None
        self._sleeping: list[tuple[float, int, Job]] = []
        self._transport = transport
        self._opening = opening  # a flow is run at the first read
        self._inputs = iter(inputs)
        self._callback = callback
        self._pipeline: AnyPipeline | None = None
        self._looked = 0.0
        """When the calls that have ended were last looked for."""
        fork.track(self)

    def _after_fork(self) -> None:
        """Drop the parent's calls in a forked child; reading them there is an error."""
        fork.leak(self._calls)
        self._calls = None
        self._closed = True

    def __repr__(self) -> str:
        begun = getattr(self, "_pipeline", None) is not None
        state = (
            "finished"
            if self._consumed
            else "closed"
            if self._closed
            else "reading"
            if begun
            else "not begun"
        )
        return f"<{type(self).__name__} {state}>"

    def __iter__(self) -> Iterator[T]:
        """Yield results; leaving the loop before its end closes the stream.

        Raises:
            NupicError: an input could not be answered, unless errors are returned.
            StreamClosedError: the stream was closed.
            StreamConsumedError: it was already read to its end.
        """
        if self._consumed:
            raise StreamConsumedError("these results were already read to their end")
        return self._results()

    def __next__(self) -> T:
        """Return the next result. Raises as `__iter__`, and ``StopIteration`` at the end."""
        result: Any = self._read()
        if result is NOTHING:
            raise StopIteration
        return result  # type: ignore[no-any-return]  # the facade says what T is

    def close(self) -> None:
        """Cancel the running requests and read no more inputs. Returns at once.

        Idempotent; safe from any thread.
        """
        self._leave()

    def _leave(self, *, dropped: bool = False) -> None:
        """Do the work of `close`; `dropped` for destructors, where nothing of a user's may run."""
        self._closed = True
        calls = self._calls
        if calls is not None and not self._consumed:
            calls.leave()
        if self._watch is not None:
            self._watch.leave(dropped=dropped)

    def cancel(self) -> None:
        """Same as `close`; the async stream has only this name."""
        self.close()

    def __enter__(self) -> Self:
        """Return the stream; the end of the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(dropped=kind is GeneratorExit)

    def __del__(self) -> None:
        # The server must not work on dropped requests. The interpreter may be half gone: never raise.
        with contextlib.suppress(Exception):
            self._leave(dropped=True)

    def _results(self) -> Iterator[T]:
        try:
            while (result := self._read()) is not NOTHING:
                yield result
        finally:  # of a generator, which a destructor may close
            self._leave(dropped=True)

    def _read(self) -> Any:
        """Return the next result, or `NOTHING` at the end."""
        if self._consumed:
            return NOTHING
        self._check_open()
        try:
            pipeline, calls = self._pipeline, self._calls
            if pipeline is None or calls is None:
                pipeline, calls = self._open()
            # One input for each result keeps the server busy while the caller works on the results.
            if pipeline.wants_input:
                self._read_input(pipeline, calls)
            elif pipeline.has_results and time.monotonic() - self._looked > _LOOK_AFTER:
                self._take_all_in(pipeline, calls, 0.0)
            return self._next_result(pipeline, calls)
        except BaseException:
            self.close()
            raise

    def _next_result(self, pipeline: AnyPipeline, calls: Calls) -> Any:
        while True:
            if self._sleeping:
                self._wake(pipeline, calls)
            while pipeline.waiting and pipeline.has_turn:
                self._advance(pipeline, calls, pipeline.waiting.popleft(), None)
            result = pipeline.take()
            if result is not NOTHING:
                return result
            if pipeline.finished:
                self._consumed = True
                calls.done()
                return NOTHING
            if not pipeline.wants_input:
                self._take_all_in(pipeline, calls, self._pause())
                continue
            begun = time.monotonic()
            self._read_input(pipeline, calls)
            if (
                time.monotonic() - begun > _LOOK_AFTER
            ):  # it waited for the input or for a server: a result may be there
                self._take_in(pipeline, calls, 0.0)

    def _open(self) -> tuple[AnyPipeline, Calls]:
        opening = self._opening
        pipeline = opening if isinstance(opening, BulkPipeline) else self._transport.run(opening)
        self._pipeline = pipeline
        self._calls = self._transport.answers() if pipeline.awaits is ReadAnswer else self._transport.calls()
        self._check_open()  # by another thread, in the meantime
        return pipeline, self._calls

    def _check_open(self) -> None:
        if self._closed:
            raise StreamClosedError(
                "these results were closed before their end, which cancelled what was on its way (leaving a"
                " for loop closes them too: use next(results) to read single ones)"
            )

    def _read_input(self, pipeline: AnyPipeline, calls: Calls) -> None:
        self._transport.check_open()  # for all inputs, which may be endless
        try:
            inputs = next(self._inputs)
        except StopIteration:
            jobs = pipeline.end()
        else:
            jobs = pipeline.feed(inputs)
        for job in jobs:
            job.flow = self._transport.authorized(job.flow)
            self._advance(pipeline, calls, job, None)

    def _pause(self) -> float | None:
        """Return the seconds until a request is to be sent again, or None."""
        return max(self._sleeping[0][0] - time.monotonic(), 0.0) if self._sleeping else None

    def _wake(self, pipeline: AnyPipeline, calls: Calls) -> None:
        """Go on with the requests whose pause is over."""
        while self._sleeping and self._sleeping[0][0] <= time.monotonic():
            self._advance(pipeline, calls, heapq.heappop(self._sleeping)[2], None)

    def _take_all_in(self, pipeline: AnyPipeline, calls: Calls, timeout: float | None) -> None:
        """Wait until a call ends, take in all that have ended, and send as many requests at one go.

        Servers that combine requests make larger batches of what comes together: half as many requests again a second.
        """
        ended = 0
        while self._take_in(pipeline, calls, timeout):
            timeout = 0.0
            ended += 1
        for _ in range(ended):
            if pipeline.wants_input:
                self._read_input(pipeline, calls)

    def _take_in(self, pipeline: AnyPipeline, calls: Calls, timeout: float | None) -> bool:
        """Wait until a call ends, a pause is over or the stream is closed; return whether a call has ended."""
        ended = calls.wait(timeout)
        self._looked = time.monotonic()
        self._check_open()
        if ended is None:
            return False
        job, call = ended
        try:
            reply = calls.outcome(call)
        except NupicError as error:
            self._advance(pipeline, calls, job, None, error)
        else:
            self._advance(pipeline, calls, job, reply)
        return True

    def _advance(
        self, pipeline: AnyPipeline, calls: Calls, job: Job, reply: Any, error: NupicError | None = None
    ) -> None:
        """Run a job's flow until it must wait or ends."""
        try:
            while True:
                command = job.flow.send(reply) if error is None else job.flow.throw(error)
                error = None
                if isinstance(command, flows.Sleep):
                    wake = time.monotonic() + command.seconds
                    heapq.heappush(self._sleeping, (wake, job.number, job))
                    return
                if isinstance(command, AwaitTurn):
                    pipeline.waiting.append(job)
                    return
                try:
                    if type(command) is pipeline.awaits:
                        calls.start(command, job)
                        return
                    reply = self._transport.perform(command)
                except NupicError as failure:
                    self._check_open()  # while it waited for a server
                    error = failure
        except StopIteration as stop:
            self._finish(pipeline, job, stop.value)
        except NupicError as failure:
            self._finish(pipeline, job, failure)

    def _finish(self, pipeline: AnyPipeline, job: Job, outcome: Outcome[Any]) -> None:
        found = pipeline.finish(job, outcome)
        if self._callback is not None:
            try:
                for index, each in found:
                    self._callback(index, each)
            except StopIteration as error:  # `next(results)` would take it for the end
                raise RuntimeError("the callback raised StopIteration") from error


publish(__name__)
