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
from nupic_client._async.transport import AsyncTransport, running_loop
from nupic_client._core.calls import flows
from nupic_client._core.calls.bulk import NOTHING, AwaitTurn, BulkPipeline, Job, Outcome, ReadAnswer
from nupic_client._grpc import fork
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

    def __init__(
        self,
        transport: AsyncTransport,
        opening: AnyPipeline | flows.Flow[Any],
        inputs: Iterable[Any] | AsyncIterable[Any],
        callback: Callable[[int, Any], Awaitable[object] | object] | None = None,
    ) -> None:
        self._inbox: _Inbox | None = None
        self._sleeping: list[tuple[float, int, Job]] = []
        self._transport = transport
        self._opening = opening  # a flow is run at the first read
        self._async_inputs = aiter(inputs) if isinstance(inputs, AsyncIterable) else None
        self._inputs = iter(()) if isinstance(inputs, AsyncIterable) else iter(inputs)
        self._callback = callback
        self._pipeline: AnyPipeline | None = None
        self._reading_input = False
        self._closed = False
        self._consumed = False
        fork.track(self)

    def _after_fork(self) -> None:
        """Drop the parent's calls in a forked child; reading them there is an error."""
        fork.leak_in_child(self._inbox)
        self._inbox = None
        self._closed = True

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
        result: Any = await self._read()
        if result is NOTHING:
            raise StopAsyncIteration
        return result  # type: ignore[no-any-return]  # the facade says what T is

    def cancel(self) -> None:
        """Cancel the running requests and read no more inputs. Returns at once.

        Idempotent; safe from any thread.
        """
        self._closed = True
        inbox = self._inbox
        if inbox is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its tasks with it
                inbox.run(_cancel, inbox)

    async def aclose(self) -> None:
        """Same as `cancel`; for ``contextlib.aclosing``."""
        self.cancel()

    async def __aenter__(self) -> Self:
        """Return the stream; the end of the block closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        # The server must not work on dropped requests. The interpreter may be half gone: never raise.
        with contextlib.suppress(Exception):
            self.cancel()

    async def _read(self) -> Any:
        """Return the next result, or `NOTHING` at the end."""
        if self._consumed:
            return NOTHING
        self._check_open()
        inbox = self._inbox = self._inbox or _Inbox()
        try:
            pipeline = self._pipeline or await self._open()
            # One input for each result keeps the server busy while the caller works on the results.
            await self._read_input(pipeline, inbox)
            while True:
                self._check_open()
                await self._collect(pipeline, inbox)
                result = pipeline.take()
                if result is not NOTHING:
                    return result
                if pipeline.finished:
                    self._consumed = True
                    return NOTHING
                if not await self._read_input(pipeline, inbox):
                    await inbox.wait(self._pause())
        except BaseException:
            self.cancel()
            raise

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

    async def _read_input(self, pipeline: AnyPipeline, inbox: _Inbox) -> bool:
        """Read one input if there is room, or start to; return False if there is nothing to do but wait."""
        if self._reading_input or not pipeline.wants_input:
            return False
        self._transport.check_open()  # for all inputs, which may be endless
        if self._async_inputs is not None:
            # In a task of its own, so that slow inputs do not hold up the results.
            inbox.read(_next(self._async_inputs))
            self._reading_input = True
        else:
            await self._feed(pipeline, inbox, next(self._inputs, NOTHING))
        return True

    async def _feed(self, pipeline: AnyPipeline, inbox: _Inbox, inputs: Any) -> None:
        for job in pipeline.end() if inputs is NOTHING else pipeline.feed(inputs):
            job.flow = self._transport.authorized(job.flow)
            await self._advance(pipeline, inbox, job, None)

    def _pause(self) -> float | None:
        """Return the seconds until a request is to be sent again, or None."""
        return max(self._sleeping[0][0] - time.monotonic(), 0.0) if self._sleeping else None

    async def _collect(self, pipeline: AnyPipeline, inbox: _Inbox) -> None:
        """Take in what has ended, without waiting."""
        while inbox.ended:
            ended = inbox.ended.popleft()
            job = inbox.jobs.pop(ended)
            if job is None:
                self._reading_input = False
                if ended.cancelled():
                    self._check_open()  # with the stream, and not this task
                await self._feed(pipeline, inbox, ended.result())
                continue
            try:
                reply = await (ended if isinstance(ended, asyncio.Task) else self._transport.finish(ended))
            except NupicError as error:
                await self._advance(pipeline, inbox, job, None, error)
            except asyncio.CancelledError:
                self._check_open()  # the call was cancelled with the stream, and not this task
                raise
            else:
                await self._advance(pipeline, inbox, job, reply)
        while self._sleeping and self._sleeping[0][0] <= time.monotonic():
            await self._advance(pipeline, inbox, heapq.heappop(self._sleeping)[2], None)
        while pipeline.waiting and pipeline.has_turn:
            await self._advance(pipeline, inbox, pipeline.waiting.popleft(), None)

    async def _advance(
        self, pipeline: AnyPipeline, inbox: _Inbox, job: Job, reply: Any, error: NupicError | None = None
    ) -> None:
        """Run a job's flow until it must wait for a call or for the end of a pause, or ends."""
        try:
            while True:
                command = job.flow.send(reply) if error is None else job.flow.throw(error)
                error = None
                if type(command) is flows.ReadClock:
                    reply = time.monotonic()
                elif isinstance(command, flows.Sleep):
                    wake = time.monotonic() + command.seconds
                    heapq.heappush(self._sleeping, (wake, job.number, job))
                    return
                elif isinstance(command, AwaitTurn):
                    pipeline.waiting.append(job)
                    return
                else:
                    try:
                        if isinstance(command, ReadAnswer):
                            inbox.read(Answer(self._transport, command.session).read_all(), job)
                            return
                        if isinstance(command, flows.Invoke):
                            inbox.watch(await self._transport.begin(command), job)
                            return
                        reply = await self._transport.perform(command)
                    except NupicError as failure:
                        error = failure
        except StopIteration as stop:
            await self._finish(pipeline, job, stop.value)
        except NupicError as failure:
            await self._finish(pipeline, job, without_frames(failure))

    async def _finish(self, pipeline: AnyPipeline, job: Job, outcome: Outcome[Any]) -> None:
        found = pipeline.finish(job, outcome)
        if self._callback is not None:
            for index, each in found:
                answer = self._callback(index, each)
                if inspect.isawaitable(answer):
                    await answer


class _Inbox:
    """The calls of a stream and the input that is read: running, and ended.

    Separate from the stream, because what runs must not keep a dropped stream alive.
    """

    __slots__ = ("_loop", "_news", "ended", "jobs")

    def __init__(self) -> None:
        self._loop = running_loop()
        self._news: asyncio.Future[None] | None = None
        self.jobs: dict[Any, Job | None] = {}
        """For each running call its job; None for the task that reads an input."""
        self.ended: deque[Any] = deque()

    def read(self, work: Any, job: Job | None = None) -> None:
        """Run a coroutine that reads an answer for a job, or an input."""
        task = self._loop.create_task(work)
        self.jobs[task] = job
        task.add_done_callback(self._end)

    def watch(self, call: Any, job: Job) -> None:
        """Note the end of a call of grpc.aio."""
        self.jobs[call] = job
        call.add_done_callback(self._end)

    async def wait(self, timeout: float | None) -> None:
        """Wait until something has ended, `wake` is called, or some seconds are over."""
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
        news = self._news
        if news is not None and not news.done():
            news.set_result(None)

    def run(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function in the loop: at once if this is its thread, else soon."""
        if loop_here() is self._loop:
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)

    def _end(self, ended: Any) -> None:
        if isinstance(ended, asyncio.Task) and not ended.cancelled():
            ended.exception()  # asyncio warns about an exception that was never retrieved
        self.ended.append(ended)
        self.wake()


class _Results(Generic[T]):
    """The iterator of one ``async for``: dropped by ``break``, and then it closes the stream.

    A class and not an async generator, because ``break`` leaves a generator open until the loop closes it.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncResultStream[T]) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await self._stream.__anext__()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._stream.cancel()


def _cancel(inbox: _Inbox) -> None:
    for running in tuple(inbox.jobs):
        running.cancel()
    inbox.wake()


async def _next(inputs: AsyncIterator[Any]) -> Any:
    return await anext(inputs, NOTHING)


publish(__name__)
