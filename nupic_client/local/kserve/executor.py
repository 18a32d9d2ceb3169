"""Threads for the gRPC server that never keep the interpreter alive."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DaemonExecutor"]

Result = TypeVar("Result")


class DaemonExecutor(Executor):
    """Run every task at once on a daemon thread of its own.

    ``concurrent.futures.ThreadPoolExecutor`` joins its threads when the interpreter exits, so a script that
    ends in the middle of a generation would wait for it. A stream holds its thread for as long as it lives,
    so a pool would save nothing, and a limit would let the streams that wait starve those that answer.
    Thread-safe.
    """

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Start ``fn(*args, **kwargs)`` on a new thread and return its future."""
        future: Future[Result] = Future()
        threading.Thread(
            target=_run, args=(future, fn, args, kwargs), name="nupic_client.local", daemon=True
        ).start()
        return future


def _run(
    future: Future[Result], fn: Callable[..., Result], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
        future.set_exception(error)
