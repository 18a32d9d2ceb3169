"""The functions that callers give for texts and results as they come, and what is wrong with one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

from nupic_client.errors import ConfigurationError

__all__ = [
    "AsyncCallback",
    "AsyncOnResult",
    "Callback",
    "Errors",
    "OnResult",
    "check_async_callback",
    "check_callback",
    "check_on_result",
    "check_plain_on_result",
]

Callback: TypeAlias = Callable[[str], object]
"""Called with each chunk of text."""
AsyncCallback: TypeAlias = Callable[[str], Awaitable[object] | object]
"""Called with each chunk of text; an awaitable result is awaited."""
Errors: TypeAlias = Literal["raise", "return"]
"""Whether the error of one request of many is raised or returned in the place of its result."""
OnResult: TypeAlias = Callable[[int, Any], object]
"""Called with the index of a prompt or an input, and its result."""
AsyncOnResult: TypeAlias = Callable[[int, Any], Awaitable[object] | object]
"""The same; an awaitable result is awaited."""


def check_callback(callback: Callback | None) -> None:
    """Raise ConfigurationError for a callback that a blocking call cannot use."""
    if callback is not None and (not callable(callback) or inspect.iscoroutinefunction(callback)):
        raise ConfigurationError(
            f"callback must be a plain function, not {callback!r}; agenerate takes async ones",
            parameter="callback",
        )


def check_async_callback(callback: AsyncCallback | None) -> None:
    """Raise ConfigurationError for a callback that an async call cannot use."""
    if callback is not None and not callable(callback):
        raise ConfigurationError(
            f"callback must be a function or a coroutine function, not {callback!r}", parameter="callback"
        )


def check_on_result(callback: object) -> None:
    """Raise ConfigurationError for a callback that cannot be called with results."""
    if callback is not None and not callable(callback):
        raise ConfigurationError(f"callback must be a function, not {callback!r}", parameter="callback")


def check_plain_on_result(callback: object) -> None:
    """Raise ConfigurationError for a callback that only an async iteration can use."""
    if inspect.iscoroutinefunction(callback):
        raise ConfigurationError(
            f"callback must be a plain function, not {callback!r}; amap takes async ones",
            parameter="callback",
        )
