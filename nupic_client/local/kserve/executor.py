"""An executor for the gRPC server whose threads do not keep the interpreter alive."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DaemonExecutor"]

Result = TypeVar("Result")


class DaemonExecutor(Executor):
    """Run every task immediately on a new daemon thread.

    ``concurrent.futures.ThreadPoolExecutor`` joins its threads when the interpreter exits, so a script that
    ends in the middle of a generation would wait for it. A stream holds its thread for as long as it lives,
    so a pool would save nothing, and waiting streams could block the running ones.
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
    except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
        future.set_exception(error)
