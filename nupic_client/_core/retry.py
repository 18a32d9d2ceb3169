"""Whether a failed request is sent again, and when: decided here, waited for above."""

from __future__ import annotations

from nupic_client.errors import RequestError
from nupic_client.limits import RetryPolicy

__all__ = ["next_pause"]


def next_pause(
    policy: RetryPolicy, error: RequestError, *, attempt: int, left: float | None, jitter: float
) -> float | None:
    """Return how long to wait before the next try, or None if there is none.

    Args:
        policy: of the call.
        error: what the last try ended with; nothing of an answer had arrived.
        attempt: which try that was, from 1.
        left: seconds left of the call's deadline, or None for no limit.
        jitter: a random number, 0 <= jitter < 1.

    Returns:
        Seconds.
    """
    if not error.retryable or attempt > policy.retries:
        return None
    if error.retry_after is not None:
        # gRPC's retry pushback: the server knows best; a negative one means "do not try again".
        pause = error.retry_after
        if pause < 0:
            return None
    else:
        pause = jitter * min(policy.maximum, policy.initial * 2.0 ** (attempt - 1))
    return pause if left is None or pause < left else None
