"""A generation that is read by blocking."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from nupic_client._core import flows
from nupic_client._core.exchange import Exchange
from nupic_client._grpc import fork, reaper
from nupic_client._grpc.drain import forget, leave
from nupic_client._grpc.status import error_from_rpc
from nupic_client._sync.transport import Transport
from nupic_client.errors import NupicError, RequestError
from nupic_client.results import Event, Finished, Generation

if TYPE_CHECKING:
    from typing_extensions import Self

    from nupic_client._core.exchange import Later

__all__ = ["TextStream"]


class TextStream:
    """The text of one generation, piece by piece, as it is generated.

    Made by `StreamingClient.stream`, which has sent the request already. Iterate over it for pieces of text, or over
    `events()` for typed events. Leaving it cancels the generation on the server: the end of a ``with`` block, ``break``
    out of a ``for`` loop, an exception (also ``KeyboardInterrupt``), `close()` from any thread, or dropping it.

    One thread reads; `close()` and `text` may be used from any thread.

    Example:
        .. code-block:: python

            with client.stream("Once upon a time") as stream:
                for text in stream:
                    print(text, end="", flush=True)
            print(stream.result().timing.time_to_first_token)
    """

    _call: Any = None

    def __init__(self, transport: Transport, opening: flows.Flow[Exchange]) -> None:
        self._transport = transport
        self._left = _locked()
        self._lease = reaper.Lease()
        self._exchange = transport.run(opening)
        reaper.hold(self._lease)
        self._start(self._exchange)
        fork.track(self)

    @property
    def request_id(self) -> str:
        """The id the request was sent with."""
        return self._exchange.request.request_id

    @property
    def text(self) -> str:
        """The text so far."""
        return self._exchange.text

    @property
    def closed(self) -> bool:
        """Whether the generation has ended, in whatever way."""
        return not self._exchange.running

    def __iter__(self) -> Iterator[str]:
        """Yield pieces of text; leaving the loop before its end closes the stream.

        Raises:
            RequestError: the generation failed; ``partial_text`` has the text so far.
            StreamClosedError: the stream was closed.
            StreamConsumedError: it was already read to its end.
        """
        self._exchange.check_unread()
        return self._pieces()

    def __next__(self) -> str:
        """Return the next piece of text. Raises as `__iter__`, and ``StopIteration`` at the end."""
        text = self._read()
        if not text:
            raise StopIteration
        return text

    def events(self) -> Iterator[Event]:
        """Yield a `TextDelta` for each piece of text and `Finished` at the end. Raises as `__iter__`."""
        for text in self:
            yield self._exchange.delta(text)
        yield Finished(self._exchange.result())

    def result(self) -> Generation:
        """Read the stream to its end and return the generation.

        Of a stream that was closed before its end it returns what had arrived, with the finish reason ``cancelled``.

        Raises:
            RequestError: the generation failed; ``partial_text`` has the text so far.
        """
        if self._exchange.running:
            for _ in self:
                pass
        return self._exchange.result()

    def close(self) -> None:
        """Cancel the generation on the server if it is running. Returns at once. Idempotent; safe from any thread."""
        self._leave()

    def __enter__(self) -> Self:
        """Return the stream; the end of the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(reaper.submit if kind is GeneratorExit else None)

    def __del__(self) -> None:
        # A dropped stream must not go on costing the server; whatever is left of the interpreter, stay silent.
        try:
            reaper.release(self._lease)
            if self._call is not None and not self._call.undrained.locked():
                self._leave(reaper.submit)
        except Exception:  # noqa: BLE001, S110
            pass

    def _pieces(self) -> Iterator[str]:
        try:
            while text := self._read():
                yield text
        except GeneratorExit:  # by break, or by the destructor of a generator
            self._leave(reaper.submit)
            raise
        finally:
            self.close()

    def _leave(self, later: Later | None = None) -> None:
        """Close the stream, without taking a lock: destructors do so, see `reaper`.

        Args:
            later: what calls a function later, outside of the destructor.
        """
        if self._exchange.running:
            self._exchange.cancelled(time.monotonic(), later)
        self._abandon()
        reaper.release(self._lease)
        if self._left.locked():
            with contextlib.suppress(RuntimeError):  # another thread did it in this moment
                self._left.release()

    def _check_left(self, exchange: Exchange) -> None:
        """Raise StreamClosedError if the stream or the client was closed while this thread was waiting."""
        if self._transport.closed:
            exchange.cancelled(time.monotonic())
        exchange.check_running()

    def after_fork(self) -> None:
        """Leave the parent's call alone in a forked child; reading it there is an error."""
        fork.disown(self._call)
        self._call = fork.ForeignCall()
        self._left = _locked()

    def check_deadline(self, now: float) -> float | None:
        """Cancel the call if the server was silent for too long; return when to look again. For the watchdog."""
        exchange = self._exchange
        if not exchange.running:
            return None
        again = exchange.deadlines.check(now)
        if again is None:
            self._call.cancel()  # which wakes the reader, and that finds out why
        return again

    def _abandon(self) -> None:
        """Have the call cancelled and freed; a thread that is reading wakes up by the former and then comes here itself."""
        call = self._call
        if call.undrained.locked():  # it was done before
            return
        if self._exchange.deadlines.waiting is not None:
            reaper.submit(call.cancel)
        elif call.undrained.acquire(blocking=False):
            leave(call)

    def _start(self, exchange: Exchange) -> None:
        self._call = self._lease.call = self._transport.stream(exchange)
        now = time.monotonic()
        first_check = exchange.deadlines.check(now) if exchange.deadlines.watched else None
        if first_check is not None and exchange.attempts == 1:
            self._transport.watchdog.watch(self, first_check)

    def _read(self) -> str:
        """Return the next piece of text, or nothing at the end."""
        exchange = self._exchange
        try:
            while True:
                try:
                    return self._receive(exchange)
                except RequestError as error:
                    if not exchange.running:
                        raise
                    self._again(exchange, error)
        except BaseException as error:
            exchange.deadlines.waiting = None
            if not isinstance(error, NupicError):
                forget(self._call)
            self.close()  # our own errors, and KeyboardInterrupt in the middle of the wait
            raise
        finally:
            exchange.deadlines.waiting = None

    def _receive(self, exchange: Exchange) -> str:
        call = self._call
        clock = time.monotonic
        deadlines = exchange.deadlines
        deadlines.waiting = clock()
        try:
            while exchange.running:
                response = next(call)
                now = deadlines.waiting = clock()
                text = exchange.receive(response, now)
                if exchange.stopped_early:
                    self.close()
                if text:
                    return text
            exchange.check_running()
        except StopIteration:
            exchange.ended(clock())
        except grpc.RpcError as rpc_error:
            self._check_left(exchange)
            error = exchange.broken(error_from_rpc(rpc_error), clock())
            if error is not None:
                raise error from exchange.cause(rpc_error)
        return exchange.consumed()

    def _again(self, exchange: Exchange, error: RequestError) -> None:
        """Send the request again after a pause, or raise the error if that is not worth it."""
        jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
        pause = exchange.retry(error, time.monotonic(), jitter)
        exchange.deadlines.waiting = None
        self._abandon()  # also the call of an error inside a stream, which may go on
        self._left.acquire(timeout=pause)
        self._check_left(exchange)
        self._start(exchange)


def _locked() -> threading.Lock:
    """Return what ends a pause by being released.

    Not an `Event`, which is Python code: an interrupt in the middle of its `set` would leave it locked for ever.
    """
    lock = threading.Lock()
    lock.acquire()
    return lock
