"""The deadlines of one stream besides its total one: until the first response, and from one to the next.

They run only while a reader waits for the answer. Responses that arrived while nobody was reading are there already, so
silence counts from the moment that the wait began. Receives clock readings, never takes one.
"""

from __future__ import annotations

from nupic_client.errors import DeadlineExceededError

__all__ = ["LOOK_AGAIN", "Deadlines"]

LOOK_AGAIN = 5.0
"""Seconds between two checks at most, so that streams that have ended are soon forgotten."""
_GRACE = 1.0
"""Seconds that a late reader has for responses that arrived before it began to wait."""
_TEXTS = {
    "first_token": "no response came within {limit:g} s (first_token timeout)",
    "between_tokens": "the server fell silent: nothing came for {limit:g} s (between_tokens timeout)",
}


class Deadlines:
    """When to give up on a silent server.

    Args:
        first_token: seconds from sending the request to the first response, or None for no limit.
        between_tokens: seconds from one response to the next, or None for no limit.
        start: clock reading when the request is sent.
    """

    __slots__ = ("_between", "_first", "expired", "responded", "sent_at", "waiting")

    def __init__(self, first_token: float | None, between_tokens: float | None, start: float) -> None:
        self._first = first_token
        self._between = between_tokens
        self.waiting: float | None = None
        """Clock reading when the reader began to wait, or None while it does not."""
        self.sent(start)

    @property
    def watched(self) -> bool:
        """Whether there is a deadline to check."""
        return self._first is not None or self._between is not None

    def sent(self, now: float) -> None:
        """Start again: the request is sent, for the first time or as a retry."""
        self.sent_at: float = now
        self.responded: bool = False
        self.expired: str | None = None

    def left_for_first(self, now: float) -> float | None:
        """Return the seconds left until the first response is due, or None for no limit. Never negative."""
        return None if self._first is None else max(self._first - (now - self.sent_at), 0.0)

    def check(self, now: float) -> float | None:
        """Return when to check again, or None if a deadline has passed: then it is in ``expired``."""
        name, limit = ("between_tokens", self._between) if self.responded else ("first_token", self._first)
        waiting = self.waiting
        # Soon enough to notice that the first response has come and the limit between tokens applies.
        again = now + min(LOOK_AGAIN, self._between or LOOK_AGAIN)
        if limit is None:
            return again
        if waiting is None:
            return min(again, now + limit)
        when = waiting + limit
        if not self.responded:
            when = max(self.sent_at + limit, waiting + min(limit, _GRACE))
        if now < when:
            return min(again, when)
        self.expired = name
        return None

    def error(self) -> DeadlineExceededError:
        """Return the error for the deadline that has passed."""
        name = self.expired or "between_tokens"
        limit = self._between if name == "between_tokens" else self._first
        return DeadlineExceededError(_TEXTS[name].format(limit=limit), deadline=name, limit=limit)
