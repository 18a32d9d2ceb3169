"""Many requests at once, read by awaiting."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import inspect
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

from typing_extensions import Self

from nupic_client._async.answers import Answer
from nupic_client._async.driver import AsyncDriver
from nupic_client._async.transport import running_loop, task_is_cancelled
from nupic_client._core.calls import flows
from nupic_client._core.calls.bulk import NOTHING, AwaitTurn, BulkPipeline, Job, Outcome, ReadAnswer
from nupic_client._core.calls.watch import Watch
from nupic_client._grpc import async_ending, fork
from nupic_client._grpc.call import loop_here
from nupic_client._public import publish
from nupic_client._traceback import without_frames
from nupic_client.errors import NupicError, StreamClosedError, StreamConsumedError

__all__ = ["AsyncResultStream"]

T = TypeVar("T")
AnyPipeline: TypeAlias = BulkPipeline[Any]


class AsyncResultStream(Generic[T]):
    """The results of many inputs, from `InferenceClient.amap` and `StreamingClient.amap`.

    Iterate over it. Inputs are read and requests are sent while it is read, a bounded number ahead. Leaving
    it cancels the running requests: the end of an ``async with`` block, ``break`` out of an ``async for`` loop,
    an exception, cancelling the task that reads, `cancel()` from any thread or task, or dropping it. One task
    reads.

    Example:
        .. code-block:: python

            async with client.amap(batches, concurrency=8) as results:
                async for result in results:
                    print(result.only.shape)
    """

    _closed = False
    _consumed = False

    def __init__(
        self,
        transport: AsyncDriver,
        opening: AnyPipeline | flows.Flow[Any],
        inputs: Iterable[Any] | AsyncIterable[Any],
        callback: Callable[[int, Any], Awaitable[object] | object] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._inbox: _Inbox | None = None
        self._due: deque[Job] = deque()
        """What can go on at once."""
        self._sleeping: list[tuple[float, int, Job]] = []
        self._transport = transport
        self._opening = opening  # a flow is run at the first read
        self._async_inputs = aiter(inputs) if isinstance(inputs, AsyncIterable) else None
        self._inputs = iter(()) if isinstance(inputs, AsyncIterable) else iter(inputs)
        self._callback = callback
        self._pipeline: AnyPipeline | None = None
        fork.track(self)

    def _after_fork(self) -> None:
        """Drop the parent's calls in a forked child; reading them there is an error."""
        fork.leak(self._inbox)
        self._inbox = None
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

    def __aiter__(self) -> AsyncIterator[T]:
        """Yield results; leaving the loop before its end closes the stream.

        Raises:
            NupicError: an input could not be answered, unless errors are returned.
            StreamClosedError: the stream was closed.
            StreamConsumedError: it was already read to its end.
        """
        if self._consumed:
            raise StreamConsumedError("these results were already read to their end")
        return _Results(self)

    async def __anext__(self) -> T:
        """Return the next result. Raises as `__aiter__`, and ``StopAsyncIteration`` at the end."""
        return await self._next(None)

    def cancel(self) -> None:
        """Cancel the running requests and read no more inputs. Returns at once.

        Idempotent; safe from any thread.
        """
        self._leave()

    def _leave(self, *, dropped: bool = False) -> None:
        """Do the work of `cancel`; `dropped` for destructors, where nothing of a user's may run."""
        self._closed = True
        inbox = self._inbox
        if inbox is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its tasks with it
                inbox.run(_cancel, inbox)
        if self._watch is not None:
            self._watch.leave(dropped=dropped)

    async def aclose(self) -> None:
        """Same as `cancel`; for ``contextlib.aclosing``."""
        self.cancel()

    async def __aenter__(self) -> Self:
        """Return the stream; the end of the block closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(dropped=kind is GeneratorExit)

    def __del__(self) -> None:
        # The server must not work on dropped requests. The interpreter may be half gone: never raise.
        with contextlib.suppress(Exception):
            self._leave(dropped=True)

    async def _next(self, _reader: object) -> T:
        """Return the next result.

        Args:
            _reader: kept alive until then.

        Raises:
            StopAsyncIteration: there is none.
            NupicError: as `__aiter__`.
        """
        inbox = self._begin()
        try:
            pipeline = self._pipeline or await self._open()
            # One input for each result keeps the server busy while the caller works on the results.
            self._read_input(pipeline, inbox)
            while True:
                if self._closed:
                    self._check_open()
                if inbox.ended or self._sleeping:
                    await self._take_ended(pipeline, inbox)
                while self._due or (pipeline.waiting and self._next_turn(pipeline)):
                    rest = self._advance(pipeline, inbox, self._due.popleft(), None)
                    if rest is not None:
                        await rest
                result: Any = pipeline.take()
                if result is not NOTHING:
                    return result  # type: ignore[no-any-return]  # the facade says what T is
                if pipeline.finished:
                    break
                if not self._read_input(pipeline, inbox):
                    call = None if self._sleeping else inbox.only_call()
                    await (self._wait(inbox) if call is None else self._take_in(pipeline, inbox, call))
        except BaseException as error:
            self._leave(dropped=isinstance(error, GeneratorExit))
            raise
        self._consumed = True
        raise StopAsyncIteration

    def _begin(self) -> _Inbox:
        """Begin to look for a result.

        Raises:
            StopAsyncIteration: there is none.
            StreamClosedError: the stream was closed.
        """
        if self._consumed:
            raise StopAsyncIteration
        if self._closed:
            self._check_open()
        inbox = self._inbox
        if inbox is None:
            inbox = self._inbox = _Inbox()
        elif inbox.unwatched:
            inbox.watch()
        return inbox

    async def _open(self) -> AnyPipeline:
        opening = self._opening
        pipeline = opening if isinstance(opening, BulkPipeline) else await self._transport.run(opening)
        self._pipeline = pipeline
        return pipeline

    def _check_open(self) -> None:
        if self._closed:
            raise StreamClosedError(
                "these results were closed before their end, which cancelled what was on its way (leaving an"
                " async for loop closes them too: use anext(results) to read single ones)"
            )

    def _read_input(self, pipeline: AnyPipeline, inbox: _Inbox) -> bool:
        """Read one input if there is room, or start to; return False if there is nothing to do but wait."""
        if inbox.reading is not None or not pipeline.wants_input:
            return False
        if self._transport.closed:
            self._transport.check_open()  # for all inputs, which may be endless
        if self._async_inputs is None:
            self._feed(pipeline, next(self._inputs, NOTHING))
        else:
            # In a task of its own, so that slow inputs do not hold up the results.
            inbox.read(_next_input(self._async_inputs))
        return True

    def _feed(self, pipeline: AnyPipeline, inputs: Any) -> None:
        for job in pipeline.end() if inputs is NOTHING else pipeline.feed(inputs):
            job.flow = self._transport.authorized(job.flow)
            self._due.append(job)

    async def _take_ended(self, pipeline: AnyPipeline, inbox: _Inbox) -> None:
        """Take in all that has ended, and read as many inputs, so that as many requests are sent at one go."""
        ended = 0
        while inbox.ended:
            call = inbox.ended.popleft()
            if call is inbox.reading:
                inbox.reading = None
                self._take_input(pipeline, call)
            else:
                await self._take_in(pipeline, inbox, call)
                ended += 1
        while self._sleeping and self._sleeping[0][0] <= time.monotonic():
            self._due.append(heapq.heappop(self._sleeping)[2])
        # The last one's place is filled when its result has been taken: with one at once, an input may depend on that.
        for _ in range(ended if inbox.calls else ended - 1):
            if not self._read_input(pipeline, inbox):
                break

    def _next_turn(self, pipeline: AnyPipeline) -> bool:
        """Return whether a request that waits goes on, because it is its turn now."""
        if not pipeline.has_turn:
            return False
        self._due.append(pipeline.waiting.popleft())
        return True

    async def _take_in(self, pipeline: AnyPipeline, inbox: _Inbox, call: Any) -> None:
        """Take in the end of a call, and wait for it where it has not ended."""
        reply: Any = None
        failure: NupicError | None = None
        try:
            reply = await (call if inbox.answers and call in inbox.answers else self._transport.finish(call))
        except NupicError as error:
            failure = error
        except asyncio.CancelledError:
            if not task_is_cancelled():
                self._check_open()  # the call was cancelled with the stream
            raise
        job = inbox.calls.pop(call)  # only now: `cancel` must find it
        if inbox.answers:
            inbox.answers.discard(call)
        rest = self._advance(pipeline, inbox, job, reply, failure)
        if rest is not None:
            await rest

    def _take_input(self, pipeline: AnyPipeline, task: asyncio.Task[Any]) -> None:
        """Take in the end of the task that read an input."""
        if task.cancelled():
            self._check_open()  # with the stream, and not this task
        self._feed(pipeline, task.result())

    async def _wait(self, inbox: _Inbox) -> None:
        """Wait until a request can go on."""
        await inbox.wait(max(self._sleeping[0][0] - time.monotonic(), 0.0) if self._sleeping else None)

    def _advance(
        self, pipeline: AnyPipeline, inbox: _Inbox, job: Job, reply: Any, error: NupicError | None = None
    ) -> Awaitable[None] | None:
        """Run a job's flow until it must wait for a call or for the end of a pause, or ends."""
        flow = job.flow
        try:
            while True:
                command = flow.send(reply) if error is None else flow.throw(error)
                error = None
                if type(command) is flows.ReadClock:
                    reply = time.monotonic()
                elif type(command) is flows.Invoke:
                    try:
                        call = self._transport.begin_at_once(command)
                    except NupicError as failure:
                        error = failure
                        continue
                    if call is None:
                        return self._perform(pipeline, inbox, job, command)
                    inbox.add(call, job)
                    return None
                else:
                    return self._put_off(pipeline, inbox, job, command)
        except StopIteration as stop:
            outcome = stop.value
        except NupicError as failure:
            outcome = without_frames(failure)
        found = pipeline.finish(job, outcome)
        return None if self._callback is None else _call_back(self._callback, found)

    def _put_off(
        self, pipeline: AnyPipeline, inbox: _Inbox, job: Job, command: flows.Command | ReadAnswer | AwaitTurn
    ) -> Awaitable[None] | None:
        """Go on with a job after a pause, an answer or its turn; return what else is to be awaited."""
        if isinstance(command, flows.Sleep):
            heapq.heappush(self._sleeping, (time.monotonic() + command.seconds, job.number, job))
        elif isinstance(command, ReadAnswer):
            inbox.answer(Answer(self._transport, command.session).read_all(), job)
        elif isinstance(command, AwaitTurn):
            pipeline.waiting.append(job)
        else:
            return self._perform(pipeline, inbox, job, command)
        return None

    async def _perform(self, pipeline: AnyPipeline, inbox: _Inbox, job: Job, command: flows.Command) -> None:
        """Perform a command that may take long, and go on with the job."""
        reply: Any = None
        failure: NupicError | None = None
        try:
            if isinstance(command, flows.Invoke):
                inbox.starting = command.attempts
                inbox.add(await self._transport.begin(command), job)
                return
            reply = await self._transport.perform(command)
        except NupicError as error:
            failure = error
        rest = self._advance(pipeline, inbox, job, reply, failure)
        if rest is not None:
            await rest


class _Inbox:
    """The calls of a stream and the task that reads an input: running, and ended.

    Separate from the stream, because what runs must not keep a dropped stream alive.
    """

    __slots__ = ("_loop", "_news", "answers", "calls", "ended", "reading", "starting", "unwatched")

    def __init__(self) -> None:
        self._loop = running_loop()
        self._news: asyncio.Future[None] | None = None
        self.calls: dict[Any, Job] = {}
        """For each running call its job."""
        self.answers: set[asyncio.Task[None]] = set()
        """Those of them that are tasks, which read a stream."""
        self.reading: Any = None
        """The task that reads an input, until that is taken in; else None."""
        self.unwatched: list[Any] = []
        """The calls whose end is not told yet."""
        self.ended: deque[Any] = deque()
        self.starting: flows.Attempts | None = None
        """Of the call that was started last; it may have to wait for a server."""

    def read(self, work: Any) -> None:
        """Run a coroutine that reads an input."""
        self.reading = self._loop.create_task(work)
        self.reading.add_done_callback(self._end_reading)

    def add(self, call: Any, job: Job) -> None:
        """Take over a call of grpc.aio, whose end is told once `watch` is called."""
        self.calls[call] = job
        self.unwatched.append(call)

    def answer(self, work: Any, job: Job) -> None:
        """Run a coroutine that reads a stream for a job."""
        task = self._loop.create_task(work)
        task.add_done_callback(_retrieve)
        self.answers.add(task)
        self.add(task, job)

    def watch(self) -> None:
        """Have the ends of all calls told; those that have ended already, at once."""
        calls, self.unwatched = self.unwatched, []
        for call in calls:
            call.add_done_callback(self._end)

    def only_call(self) -> Any:
        """Return the call to wait for, if it is all that runs and its end is not told otherwise; else None."""
        alone = len(self.calls) == len(self.unwatched) == 1 and self.reading is None
        return self.unwatched.pop() if alone else None

    async def wait(self, timeout: float | None) -> None:
        """Wait until something has ended, `wake` is called, or some seconds are over."""
        self.watch()
        if self.ended:
            return
        news = self._news = self._loop.create_future()
        timer = None if timeout is None else self._loop.call_later(timeout, self.wake)
        try:
            await news
        finally:
            self._news = None
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    def run(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function in the loop: at once if this is its thread, else soon."""
        if loop_here() is self._loop:
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)

    def _end(self, ended: Any) -> None:
        self.ended.append(ended)
        if self._news is not None:
            self.wake()

    def _end_reading(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # asyncio warns about an exception that was never retrieved
        self._end(task)


class _Results(Generic[T]):
    """The iterator of one ``async for``: dropped by ``break``, and then it closes the stream.

    A class and not an async generator, because ``break`` leaves a generator open until the loop closes it.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncResultStream[T]) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    def __anext__(self) -> Awaitable[T]:
        return self._stream._next(self)  # noqa: SLF001 - spares a coroutine

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._stream._leave(dropped=True)  # noqa: SLF001 - its own stream


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # asyncio warns about an exception that was never retrieved


def _cancel(inbox: _Inbox) -> None:
    place = None if inbox.starting is None else inbox.starting.place
    if place is not None:
        place.leave()
    if inbox.reading is not None:
        inbox.reading.cancel()
    cancelled = [call.cancel() for call in tuple(inbox.calls)]
    if any(cancelled):
        async_ending.linger()
    inbox.wake()


async def _next_input(inputs: AsyncIterator[Any]) -> Any:
    return await anext(inputs, NOTHING)


async def _call_back(
    callback: Callable[[int, Any], Awaitable[object] | object], found: list[tuple[int, Outcome[Any]]]
) -> None:
    for index, each in found:
        answer = callback(index, each)
        if inspect.isawaitable(answer):
            await answer


publish(__name__)
