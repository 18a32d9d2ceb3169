"""Whether a failed request is sent again, and after which pause. The callers wait."""

from __future__ import annotations

from nupic_client.errors import ConnectionFailedError, RequestError
from nupic_client.timeouts import RetryPolicy

__all__ = ["may_retry", "next_pause", "pause_before"]


def may_retry(policy: RetryPolicy, error: RequestError, attempt: int) -> bool:
    """Return whether a request may be sent again after this error.

    Args:
        policy: of the call.
        error: of the last attempt; nothing of an answer had arrived.
        attempt: the number of that attempt, from 1.
    """
    return (error.retryable or error.elsewhere) and attempt <= policy.max_retries


def next_pause(
    policy: RetryPolicy, error: RequestError, *, attempt: int, left: float | None, jitter: float
) -> float | None:
    """Return the pause before the next attempt, or None if there is no further attempt.

    Args:
        policy: of the call.
        error: of the last attempt; nothing of an answer had arrived.
        attempt: the number of that attempt, from 1.
        left: seconds left of the call's deadline, or None for no limit.
        jitter: a random number, 0 <= jitter < 1.

    Returns:
        Seconds.
    """
    if not may_retry(policy, error, attempt):
        return None
    return pause_before(policy, error, attempt=attempt, left=left, jitter=jitter)


def pause_before(
    policy: RetryPolicy, error: RequestError, *, attempt: int, left: float | None, jitter: float
) -> float | None:
    """Return the pause before another attempt whatever the number of attempts; arguments and result as of `next_pause`."""
    if error.elsewhere:
        pause = 0.0  # nobody has asked the next server to wait
    elif error.retry_after is not None:
        # gRPC's retry pushback: the server's choice. A negative value means "do not try again".
        pause = error.retry_after
        if pause < 0:
            return None
    else:
        # Until gRPC has connected again, every call gets the failure of its last attempt to connect. So after a pause near
        # zero the same failure is certain, although the server may be up again.
        share = (1 + jitter) / 2 if isinstance(error, ConnectionFailedError) else jitter
        pause = share * min(policy.max_backoff, policy.initial_backoff * 2.0 ** min(attempt - 1, 100))
    return pause if left is None or pause < left else None
