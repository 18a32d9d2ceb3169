"""Calls to the server from asyncio, over one channel per running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from functools import partial
from typing import Any, TypeVar

import grpc
import grpc.aio

from nupic_client._async.driver import AsyncDriver
from nupic_client._core.calls import flows
from nupic_client._core.calls.auth import Bearer
from nupic_client._core.calls.session import StreamSession
from nupic_client._grpc import async_ending, fork
from nupic_client._grpc.call import AsyncStreamCall, in_context, loop_here
from nupic_client._grpc.channel import (
    channel_options,
    credentials,
    stream_method,
    unary_method,
)
from nupic_client._grpc.proxy import Proxy, proxy_of
from nupic_client._grpc.status import call_error, cause_of
from nupic_client.config import ClientConfig
from nupic_client.errors import (
    ConfigurationError,
    ProtocolError,
    RequestError,
)

__all__ = ["AsyncTransport"]

T = TypeVar("T")


class AsyncTransport(AsyncDriver):
    """One channel for each event loop that uses it, opened at its first call. Usable from any loop and thread.

    Args:
        config: where the server is and how to talk to it.
        bearer: adds the token to each call.
    """

    def __init__(self, config: ClientConfig, bearer: Bearer | None = None) -> None:
        super().__init__(bearer)
        self.config = config
        self.closed = False
        """Whether `close` or `aclose` was called."""
        self._proxy: Proxy | None = None
        self._begin()
        fork.track(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal handler may close the client in the middle of its own calls
        # A grpc.aio channel belongs to the loop it was made in, and keeps it alive.
        self._channels: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}
        # As the channels, which the methods keep alive: so they are forgotten together.
        self._methods: dict[asyncio.AbstractEventLoop, dict[str, Any]] = {}

    def _after_fork(self) -> None:
        """Start over in a forked child: the channels are the parent's."""
        fork.leak(self._channels, *self._channels.values())
        self._begin()

    async def stream(self, session: StreamSession[Any]) -> AsyncStreamCall:
        """Start a ``ModelStreamInfer`` call and return it."""
        metadata = await self.run(session.sign())  # may take long; the client may be closed meanwhile
        loop = running_loop()
        channel = self._channels.get(loop) or self._open()
        methods = self._methods.setdefault(loop, {})
        start = methods.get("ModelStreamInfer")
        if start is None:
            start = methods["ModelStreamInfer"] = stream_method(channel)
        timeout = session.remaining(time.monotonic())
        if session.context is not None:
            start = partial(session.context.run, start)
        return AsyncStreamCall(start(session.message, timeout=timeout, metadata=metadata), loop, channel)

    async def aclose(self) -> None:
        """Close all channels, which ends their calls; waits at most 0.25 s for calls that are ending. Idempotent."""
        for channel in self._take().values():
            await async_ending.close(channel)

    def close(self) -> None:
        """Close all channels without waiting, from any thread."""
        for channel in self._take().values():
            _close_soon(channel)

    def _take(self) -> dict[asyncio.AbstractEventLoop, grpc.aio.Channel]:
        """Forget all channels, close those of other loops in their loops, and return the own loop's."""
        with self._lock:
            channels = dict(self._channels)
            self._channels.clear()
            self._methods.clear()
            self.closed = True
        own = loop_here()
        for loop, channel in channels.items():
            if loop is not own and not loop.is_closed():
                with contextlib.suppress(
                    RuntimeError
                ):  # the loop was closed just now, and its channel with it
                    loop.call_soon_threadsafe(_close_soon, channel)
        return {loop: channel for loop, channel in channels.items() if loop is own}

    def _open(self) -> grpc.aio.Channel:
        self.check_open()
        loop = running_loop()
        channel = self._channels.get(loop)
        if channel is None:
            with self._lock:
                self._forget_closed_loops()
                channel = self._channels.get(loop) or self._connect(self.config.server.target)
                self._channels[loop] = channel
        return channel

    def _forget_closed_loops(self) -> None:
        """Drop the channels of closed loops, such as each ``asyncio.run`` leaves behind; the channels close."""
        for loop in [loop for loop in self._channels if loop.is_closed()]:
            del self._channels[loop]
            self._methods.pop(loop, None)

    def _connect(self, target: str) -> grpc.aio.Channel:
        fork.check_process()
        fork.note_aio()
        options = channel_options(self.config)
        self._proxy = proxy_of(self.config)
        if self.config.server.secure:
            return grpc.aio.secure_channel(target, credentials(self.config.tls), options)
        return grpc.aio.insecure_channel(target, options)

    async def begin(self, command: flows.Invoke) -> Any:
        """Same as `begin_at_once`."""
        return self.begin_at_once(command)

    def begin_at_once(self, command: flows.Invoke) -> Any:
        """Start a unary call and return it, for `finish`.

        Raises:
            ConfigurationError: the client is closed.
        """
        methods = self._methods.get(running_loop())
        method = None if methods is None or self.closed else methods.get(command.method)
        if method is None:
            method = self._method(command.method)
        start = in_context(command, method)
        call = start(command.request, timeout=command.timeout, metadata=command.metadata or None)
        if command.attempts is not None:
            command.attempts.call = call
        return call

    def _method(self, name: str) -> Any:
        """Return a method of this loop's channel, and keep it for the next call."""
        method = unary_method(self._open(), name)
        self._methods.setdefault(running_loop(), {})[name] = method
        return method

    async def finish(self, call: Any) -> Any:
        """Wait for a call that `begin` started and return its response.

        Raises:
            RequestError: the call failed.
        """
        try:
            response = await call
        except grpc.RpcError as rpc_error:
            failure = self.failed(rpc_error)
            raise failure from cause_of(failure, rpc_error)
        except asyncio.CancelledError:
            # grpc.aio also raises it when the channel is closed, without anybody cancelling the task.
            if not self.closed or task_is_cancelled():
                async_ending.linger()  # an event for a loop that is closed makes gRPC lose those of others
                raise
            raise self.failed(await _as_error(call)) from None
        if response is None:  # from grpc.aio for bytes that it cannot read
            target = str(self.config.server)
            raise ProtocolError("the server sent a response that cannot be read", target=target)
        return response

    def failed(self, rpc_error: Any) -> RequestError:
        """Return our error for a unary call that failed."""
        return self.explain(call_error(rpc_error, target=str(self.config.server), closed=self.closed))

    def explain(self, error: RequestError) -> RequestError:
        """Return the error of a call, with the proxy named that it went through."""
        return error if self._proxy is None else self._proxy.explain(error)


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        ConfigurationError: no event loop of asyncio is running.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "async calls need asyncio's event loop (with anyio its asyncio backend, not trio): gRPC has no other; the"
            " blocking calls work in any thread, as by trio.to_thread.run_sync"
        ) from None


def task_is_cancelled() -> bool:
    """Return whether the current task is being cancelled; always False in Python 3.10, which cannot tell."""
    task = asyncio.current_task()
    cancelling = getattr(task, "cancelling", None)
    return bool(cancelling and cancelling())


async def _as_error(call: Any) -> grpc.aio.AioRpcError:
    """Return the error that awaiting a call would raise if this side had not cancelled it."""
    return grpc.aio.AioRpcError(
        await call.code(),
        await call.initial_metadata(),
        await call.trailing_metadata(),
        details=await call.details(),
    )


def _close_soon(channel: grpc.aio.Channel) -> None:
    task = asyncio.ensure_future(async_ending.close(channel))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()
"""Keeps these tasks alive: the loop has only weak references."""
