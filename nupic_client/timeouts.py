"""The deadlines and the retries of a call."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nupic_client._numbers import LONGEST_TIMEOUT, check_integer, check_number, check_seconds
from nupic_client._public import publish

__all__ = ["DEFAULT_MAX_OUTPUT_BYTES", "DEFAULT_TOTAL_TIMEOUT", "NO_RETRIES", "RetryPolicy", "Timeouts"]

DEFAULT_TOTAL_TIMEOUT = 600.0
"""The default time limit of a generation in seconds: long answers on a CPU take minutes, and no answer takes for ever."""

DEFAULT_MAX_OUTPUT_BYTES = 64 * 2**20
"""The default limit for the text of an answer in bytes: a hundred times the longest contexts."""

_MOST_RETRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Time limits in seconds; None waits without limit.

    Args:
        total: for the whole call with its retries. Long answers on a CPU take minutes.
        first_token: from the request to the first response. A busy server queues requests, and a CPU needs time for a
            long prompt. The call for the model's signature, before the first request, may take this and ``connect``.
        between_tokens: from one response to the next, while a read waits for it; the time of your own code between two
            reads does not count. It ends a stream whose model process died: the real server then sends nothing more, and
            still reports the model as ready.
        connect: for opening the connection, if there is none yet. It is set on the client; a call cannot change it.

    Raises:
        ConfigurationError: a value is not a positive number.
    """

    total: float | None = DEFAULT_TOTAL_TIMEOUT
    """For the whole call with its retries. Long answers on a CPU take minutes."""
    first_token: float | None = 300.0
    """From the request to the first response. A busy server queues requests, and a CPU needs time for a long prompt.
    The call for the model's signature, before the first request, may take this and ``connect``."""
    between_tokens: float | None = 120.0
    """From one response to the next, while a read waits for it; the time of your own code between two reads does not
    count. It ends a stream whose model process died: the real server then sends nothing more, and still reports the
    model as ready."""
    connect: float | None = 10.0
    """For opening the connection, if there is none yet. It is set on the client; a call cannot change it."""

    def __post_init__(self) -> None:
        for name in ("total", "first_token", "between_tokens", "connect"):
            shown = "timeout" if name == "total" else f"timeout.{name}"
            object.__setattr__(self, name, check_seconds(shown, getattr(self, name)))

    @classmethod
    def of(cls, value: float | Timeouts | None) -> Timeouts:
        """Return the value itself, or the timeouts with this total."""
        return value if isinstance(value, Timeouts) else cls(total=value)

    def override(self, value: float | Timeouts | None) -> Timeouts:
        """Return the value if it is `Timeouts`, else these with the value as total."""
        return value if isinstance(value, Timeouts) else replace(self, total=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The retries of a failed request: exponential backoff with jitter.

    A request is retried only before anything of its answer has arrived, and only if the error is `retryable`: the server
    could not be reached, had no capacity, or was shutting down. The pause before retry n is a random share of
    ``min(max_backoff, initial_backoff * 2**(n - 1))``, at least half of it after a failed connection, or the pause that
    the server asks for. Retries never exceed the total timeout.

    Args:
        max_retries: the number of retries; 0 switches them off.
        initial_backoff: the longest first pause, in seconds.
        max_backoff: the longest pause, in seconds.

    Raises:
        ConfigurationError: a value is wrong.
    """

    max_retries: int = 2
    """The number of retries; 0 switches them off."""
    initial_backoff: float = 0.5
    """The longest first pause, in seconds."""
    max_backoff: float = 8.0
    """The longest pause, in seconds."""

    def __post_init__(self) -> None:
        allowed = f"an integer from 0 to {_MOST_RETRIES} (0 switches them off)"
        retries = check_integer("max_retries", self.max_retries, allowed, low=0, high=_MOST_RETRIES)
        object.__setattr__(self, "max_retries", retries)
        for name in ("initial_backoff", "max_backoff"):
            allowed = "a positive number of seconds"
            seconds = check_number(
                name, getattr(self, name), allowed, low=0.0, high=LONGEST_TIMEOUT, open_low=True
            )
            object.__setattr__(self, name, seconds)

    @classmethod
    def of(cls, value: int | RetryPolicy | None) -> RetryPolicy:
        """Return the value itself, a policy with this number of retries, or the default policy for None."""
        if isinstance(value, RetryPolicy):
            return value
        return cls() if value is None else cls(max_retries=value)


NO_RETRIES = RetryPolicy(max_retries=0)


publish(__name__)
