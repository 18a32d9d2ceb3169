"""Limits of a server, which bound everything that clients ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from nupic_client._numbers import check_integer, check_number
from nupic_client._public import publish

__all__ = ["UNLIMITED", "ServerLimits"]

_LEAST = {"max_waiting": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits of an embedded server; None means no limit.

    A request over a limit is refused at once with an error that names the limit, and that is retryable if a later
    request may succeed. Calls about health and models are answered even when the models are busy.

    Args:
        max_request_bytes: size of a request message, after decompression.
        max_running: requests that run at a time.
        max_waiting: requests that wait in the queue, in the order of their arrival.
        max_calls: inference calls (streams and unary calls) that are open at a time.
        max_connections: connections at a time. gRPC closes further ones without an error text.
        max_tokens: tokens that a request may ask for; the model's context limits an answer in any case.
        read_timeout: seconds that a client may take to read a chunk before its call is cancelled.

    Raises:
        ConfigurationError: a limit is out of its range.
    """

    max_request_bytes: int | None = 4 << 20
    max_running: int | None = 4
    max_waiting: int = 124
    max_calls: int | None = 256
    max_connections: int | None = 256
    max_tokens: int | None = None
    read_timeout: float | None = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name != "max_waiting":
                continue
            object.__setattr__(self, field.name, _checked(field.name, value))

    @property
    def max_on_stream(self) -> int | None:
        """Requests of one stream that are read at a time; further ones could only be refused."""
        return None if self.max_running is None else self.max_running + self.max_waiting


def _checked(name: str, value: object) -> float:
    if name == "read_timeout":
        return check_number(name, value, "a number of seconds > 0", low=0, open_low=True)
    least = _LEAST.get(name, 1)
    return check_integer(name, value, f"an integer >= {least}", low=least, high=2**31 - 1)


UNLIMITED = ServerLimits(
    max_request_bytes=None, max_running=None, max_calls=None, max_connections=None, read_timeout=None
)
"""No limits, for servers of tests."""


publish(__name__)
