"""How far a stream had come when it failed, in the words of its error."""

from __future__ import annotations

from nupic_client.errors import ConnectionFailedError, DeadlineExceededError

__all__ = ["cut_short", "late"]


def cut_short(error: ConnectionFailedError, amount: str) -> ConnectionFailedError:
    """Return the error of a connection that broke in the middle of an answer: the server was reached.

    Args:
        error: of the call.
        amount: how much had come, in words.
    """
    details = error.message.removeprefix("cannot reach the server")
    if details == error.message:  # it says something else
        return error.with_facts(message=f"{error.message}; {amount} had come before")
    return error.with_facts(message=f"the connection broke after {amount}{details}")


def late(
    error: DeadlineExceededError, amount: str, *, chunks: int, elapsed: float, total: float | None
) -> DeadlineExceededError:
    """Return the error of a deadline with the facts of the stream in it.

    Args:
        error: of the deadline, or of the server.
        amount: how much had come, in words.
        chunks: the number of items that had come.
        elapsed: seconds since the request was sent.
        total: the total timeout, or None.
    """
    limit, message = error.limit, error.message
    if error.deadline == "total":
        limit = total
        if limit is None:  # the server's own deadline, or that of a proxy
            return error.with_facts(elapsed=elapsed, chunks=chunks, limit=None)
        message = f"the answer was not complete within the timeout of {limit:g} s"
    message = f"{message}: {amount} had come after {elapsed:.1f} s"
    return error.with_facts(message=message, elapsed=elapsed, chunks=chunks, limit=limit)
