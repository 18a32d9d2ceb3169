"""The rows of the table: every fault, and how a generation ends that meets it. The tests hold the client to them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BEFORE_CALL", "BEFORE_CONNECTION", "BEFORE_TOKEN", "IN_STREAM", "PARTIAL", "WHOLE", "Row"]

WHOLE = "one two three four"
PARTIAL = "one two"

BEFORE_CONNECTION = "before the connection"
BEFORE_CALL = "between two calls"
BEFORE_TOKEN = "before the first token"
IN_STREAM = "after two tokens"


@dataclass(frozen=True)
class Row:
    """One fault at one moment.

    Args:
        fault: what goes wrong.
        where: when.
        error: the class of the error, with its status or the deadline that passed; several where it is a matter of
            chance which.
        text: what had arrived, which the error carries.
        ended_by: what the time it takes depends on.
        limit: seconds it can take at most by the timeouts of the test.
        retryable: what the error says about trying again; None where it is a matter of chance.
        attempts: how often the request was sent; None where it is a matter of chance.
    """

    fault: str
    where: str
    error: tuple[str, ...] = ("none",)
    text: str | tuple[str, ...] = WHOLE
    ended_by: str = "at once"
    limit: float = 0.0
    retryable: bool | None = False
    attempts: int | None = 1

    @property
    def key(self) -> tuple[str, str]:
        """What tells rows apart."""
        return self.fault, self.where

    @property
    def fails(self) -> bool:
        """Whether there is an error."""
        return self.error != ("none",)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that are possible."""
        return (self.text,) if isinstance(self.text, str) else self.text
