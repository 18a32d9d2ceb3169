"""Blocking calls to the server over one channel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakSet

import grpc
import grpc.experimental

from nupic_client._core.calls import flows
from nupic_client._core.calls.auth import Bearer
from nupic_client._core.calls.session import StreamSession
from nupic_client._grpc import ending, fork, housekeeping
from nupic_client._grpc.call import StreamCall, in_context
from nupic_client._grpc.call_queue import CallQueue, can_queue
from nupic_client._grpc.channel import (
    channel_options,
    credentials,
    stream_method,
    unary_method,
)
from nupic_client._grpc.drain import is_grpc_call
from nupic_client._grpc.gevent import warn_of_gevent
from nupic_client._grpc.proxy import Proxy, proxy_of
from nupic_client._grpc.queued_stream import can_queue_streams
from nupic_client._grpc.status import call_error, cause_of
from nupic_client._sync.calls import Calls, FutureCalls
from nupic_client._sync.driver import StreamDriver
from nupic_client._sync.queued_answers import QueuedAnswers
from nupic_client._sync.queued_calls import QueuedCalls
from nupic_client.config import ClientConfig
from nupic_client.errors import RequestError

__all__ = ["Transport"]

_SPARES = 8
"""Channels of single calls, and queues of calls, that are kept for the next ones."""
_Line: TypeAlias = "tuple[grpc.Channel, Callable[..., Any]]"
"""A channel and its method that starts a stream."""
# One stream is ten times faster this way: no other thread stands between the socket and the reader.
_SINGLE_THREADED = (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)


class Transport(StreamDriver):
    """One channel, opened at the first call. Thread-safe.

    Args:
        config: where the server is and how to talk to it.
        bearer: adds the token to each call.
    """

    def __init__(self, config: ClientConfig, bearer: Bearer | None = None) -> None:
        super().__init__(bearer)
        self.config = config
        self.closed = False
        """Whether `close` was called."""
        self._proxy: Proxy | None = None
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal handler may close the client in the middle of its own calls
        self._channel: grpc.Channel | None = None
        self._start_stream: Any = None
        self._methods: dict[str, Any] = {}
        self._wrapped = False
        self._spare: list[_Line] = []
        self._replaced: WeakSet[grpc.Channel] = WeakSet()
        self._queues: list[CallQueue] = []
        """Those that nobody uses."""
        self._used_queues: WeakSet[CallQueue] = WeakSet()

    def _after_fork(self) -> None:
        """Start over in a forked child: the channel is the parent's, and a thread that is not here may hold the lock."""
        fork.leak(self._channel, self._start_stream, self._methods, self._spare, *self._replaced)
        self._begin()

    def stream(self, session: StreamSession[Any]) -> StreamCall:
        """Start a ``ModelStreamInfer`` call and return it."""
        metadata = self.run(session.sign())  # may take long; the client may be closed meanwhile
        channel = self._open()
        start, give_back = self._start_stream, None
        if self._wrapped:
            line = self._free_line()
            (channel, start), give_back = line, partial(self._give_back, line)
        timeout = session.remaining(time.monotonic())
        if session.context is not None:
            start = partial(session.context.run, start)
        try:
            call = start(session.message, timeout=timeout, metadata=metadata)
        except BaseException as error:
            del channel  # the traceback keeps this frame, which must not keep a channel that was replaced
            self.not_started(error)
            raise
        if give_back is None and not is_grpc_call(call):
            self._wrapped = (
                True  # the next ones get channels of their own; this one lives with what it offers
            )
        return StreamCall(call, channel, give_back, session.context)

    def _free_line(self) -> _Line:
        """Return a channel that has no other call, so that a call can be ended with it.

        Tracing agents and other interceptors return objects that hide the call of gRPC, even bare generators: those cannot
        be cancelled, and not even be closed while a thread reads. To close a channel is documented to end its calls.
        The connection is shared: gRPC has one for all channels with the same target and options.
        """
        try:
            return self._spare.pop()
        except IndexError:
            channel = self._connect()
        with self._lock:
            self._replaced.add(channel)
        if self.closed:
            channel.close()
        return channel, stream_method(channel)

    def _give_back(self, line: _Line) -> None:
        """Keep a channel whose call has ended for the next one. For destructors too."""
        if len(self._spare) < _SPARES:
            self._spare.append(line)
        else:
            housekeeping.submit(line[0].close)

    def calls(self) -> Calls:
        """Return room for many unary calls at the same time, for one reader.

        Raises:
            ConfigurationError: the client is closed.
        """
        queue = self._queue()
        return FutureCalls(self) if queue is None else self._taken(QueuedCalls(self, queue))

    def answers(self) -> Calls:
        """Return room for many streams at the same time, for one reader.

        Raises:
            ConfigurationError: the client is closed.
        """
        queue = self._queue() if can_queue_streams() else None
        if queue is not None:
            return self._taken(QueuedAnswers(self, queue))
        from nupic_client._sync.answers import ThreadedAnswers  # noqa: PLC0415 - it imports this module

        return ThreadedAnswers(self)

    def _queue(self) -> CallQueue | None:
        """Return a queue that nobody uses; None if gRPC's own channel is not seen."""
        channel = self._open()
        if self._wrapped or not can_queue(channel):
            return None
        try:
            queue = self._queues.pop()
        except IndexError:
            queue = CallQueue(self._connect())
        with self._lock:
            self._used_queues.add(queue)
        return queue

    def _taken(self, calls: Calls) -> Calls:
        if self.closed:  # just now, by another thread
            calls.leave()
        return calls

    def keep(self, calls: CallQueue) -> None:
        """Keep a queue whose reader is done for the next one."""
        with self._lock:
            self._used_queues.discard(calls)
            if not calls.give_back():
                calls.abandon_soon()
            elif self.closed or len(self._queues) >= _SPARES:
                calls.close()
            else:
                self._queues.append(calls)

    def begin(self, command: flows.Invoke) -> Any:
        """Start a unary call and return it: a future, for `finish`.

        Raises:
            ConfigurationError: the client is closed.
        """
        start = in_context(command, self._method(command.method).future)
        try:
            return start(command.request, timeout=command.timeout, metadata=command.metadata)
        except BaseException as error:
            if not isinstance(error, Exception):
                # Ctrl-C may have come before gRPC's thread for this channel began; then to close it would wait for ever.
                fork.leak(self._channel)
            self.not_started(error)
            raise

    def finish(self, call: Any) -> Any:
        """Wait for a call that `begin` started and return its response.

        Raises:
            RequestError: the call failed.
        """
        try:
            return call.result()
        except grpc.FutureCancelledError:
            raise self.failed(call) from None
        except grpc.RpcError as rpc_error:
            failure = self.failed(rpc_error)
            raise failure from cause_of(failure, rpc_error)

    def close(self) -> None:
        """Close the channel, which ends its calls; does not wait for them. Idempotent."""
        with self._lock:
            channels = [*self._replaced] if self._channel is None else [*self._replaced, self._channel]
            self._channel, self.closed = None, True
            self._spare.clear()
            idle, self._queues = self._queues, []
            used = [*self._used_queues]
        for calls in used:
            calls.abandon_soon()
        for calls in idle:
            calls.close()
        for channel in channels:
            ending.close(channel)

    def _replace_channel(self) -> None:
        """Use another channel from now on, because Ctrl-C came while gRPC started a call.

        The call may be running, and we hold no handle to cancel it with. It ends with its channel: when the last stream
        on the channel has ended, or when the client is closed.
        """
        with self._lock:
            if self._channel is not None:
                self._replaced.add(self._channel)
            self._channel, self._methods = None, {}

    def _open(self) -> grpc.Channel:
        channel = self._channel
        if (
            channel is not None
        ):  # the usual case: threads that start streams at the same time do not wait for the lock
            return channel
        with self._lock:
            self.check_open()
            if self._channel is None:
                fork.check_process()
                channel = self._connect()
                self._start_stream = stream_method(channel)
                self._wrapped = self._wrapped or type(channel).__module__ != "grpc._channel"
                self._channel = channel  # last, because Ctrl-C may come anywhere
            return self._channel

    def _connect(self) -> grpc.Channel:
        warn_of_gevent()
        server = self.config.server
        options = [_SINGLE_THREADED, *channel_options(self.config)]
        self._proxy = proxy_of(self.config)
        if server.secure:
            return grpc.secure_channel(server.target, credentials(self.config.tls), options)
        return grpc.insecure_channel(server.target, options)

    def _invoke(self, command: flows.Invoke) -> Any:
        method = self._methods.get(command.method) or self._method(command.method)
        make = in_context(command, method.with_call)
        try:
            response, call = make(command.request, command.timeout, command.metadata)
        except grpc.RpcError as rpc_error:
            failure = self.failed(rpc_error)
            raise failure from cause_of(failure, rpc_error)
        except BaseException as error:
            self.not_started(error)
            raise
        if command.attempts is not None:
            command.attempts.call = call
        return response

    def _method(self, name: str) -> Any:
        channel = self._open()
        method = self._methods.get(name)
        if method is None:
            method = self._methods[name] = unary_method(channel, name)
        return method

    def not_started(self, error: BaseException) -> None:
        """Handle a failure to start a call: a closed channel becomes our error, and Ctrl-C replaces the channel.

        Raises:
            ConfigurationError: the client is closed.
        """
        if isinstance(error, ValueError):  # gRPC's exception for a closed channel
            self._open()
        elif not isinstance(error, Exception):  # Ctrl-C
            self._replace_channel()

    def failed(self, rpc_error: Any) -> RequestError:
        """Return our error for a unary call that failed."""
        return self.explain(call_error(rpc_error, target=str(self.config.server), closed=self.closed))

    def explain(self, error: RequestError) -> RequestError:
        """Return the error of a call, with the proxy named that it went through."""
        return error if self._proxy is None else self._proxy.explain(error)
