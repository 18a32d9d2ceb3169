"""Ctrl-C and SIGTERM for a command that ends in good order."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["stopped_by_signals"]


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[..., object]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM call a function until the end of the block.

    A signal that is ignored stays so, as SIGINT under ``nohup``. Outside of the main thread nothing is changed.

    Args:
        stop: the handler, see `signal.signal`.
    """
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
