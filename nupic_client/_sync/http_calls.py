"""Calls over HTTP that go on while others are begun: each has a thread, for the time that it takes."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeAlias

from nupic_client._grpc.queues import get_within

if TYPE_CHECKING:
    from email.message import Message

    from nupic_client._sync.http_connection import Connection

__all__ = ["Handle", "HttpCall", "Workers"]

_LINGER = 5.0
"""Seconds without work after which a thread ends."""
Work: TypeAlias = "tuple[Callable[..., Callable[[], object]], tuple[Any, ...]]"


class Handle:
    """What a call is ended with from another thread, whatever it is doing. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._interrupted = False
        self.headers: Message | None = None
        """Of the answer, once it has come."""

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the headers of the answer, as gRPC's calls return what comes behind one."""
        headers = self.headers
        return () if headers is None else tuple((name.lower(), value) for name, value in headers.items())

    def hold(self, connection: Connection) -> None:
        """Take the connection that the call uses from now on."""
        with self._lock:
            self._connection = connection
            if self._interrupted:
                connection.interrupt()

    def release(self) -> None:
        """Let the connection go: other calls may use it now."""
        with self._lock:
            self._connection = None

    def interrupt(self) -> None:
        """End the call: the server sees that its connection is closed."""
        with self._lock:
            self._interrupted = True
            if self._connection is not None:
                self._connection.interrupt()


class HttpCall(Future[Any]):
    """A call that runs in a thread of its own. Cancelling it ends it on the server too."""

    def __init__(self) -> None:
        super().__init__()
        self.handle = Handle()

    def cancel(self) -> bool:
        """End the call, whether or not it has begun. Returns at once."""
        self.handle.interrupt()
        super().cancel()
        return True

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the headers of the answer."""
        return self.handle.trailing_metadata()


class Workers:
    """Threads that make calls: daemons, started when there are more calls than idle threads, ended soon after the last call.

    Args:
        linger: seconds without work after which a thread ends.
    """

    def __init__(self, linger: float = _LINGER) -> None:
        self._linger = linger
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._free = 0
        """How many threads are idle beyond those that the work in the queue is for."""
        self._closed = False

    def submit(self, function: Callable[..., Callable[[], object]], *arguments: Any) -> None:
        """Let a thread call a function. What it returns is called when the thread is counted as idle again.

        So whoever hears of the end and submits the next call gets this thread, and not another one.

        Raises:
            RuntimeError: no thread can be started.
        """
        with self._lock:
            if self._free <= 0:
                threading.Thread(target=self._run, name="nupic_client.http", daemon=True).start()
                self._free += 1
            self._free -= 1
            self._work.put((function, arguments))

    def close(self) -> None:
        """Let the threads end when they have nothing to do. Idempotent."""
        with self._lock:
            self._closed = True
            for _ in range(self._free):
                self._work.put(None)
            self._free = 0

    def _run(self) -> None:
        while True:
            try:
                work = get_within(self._work, self._linger)
            except queue.Empty:
                if self._leaves():
                    return
                continue
            if work is None:
                return
            function, arguments = work
            tell = function(*arguments)
            with self._lock:
                if self._closed:
                    self._work.put(None)  # for this thread or another one
                else:
                    self._free += 1
            with contextlib.suppress(Exception):
                tell()
            del work, function, arguments, tell  # an idle thread keeps nothing alive

    def _leaves(self) -> bool:
        """Return whether an idle thread may end: not where work has just been put there for it."""
        with self._lock:
            if self._free <= 0:
                return False
            self._free -= 1
            return True
