"""How many requests may run at a server that has no capacity for all of them. Nothing here waits."""

from __future__ import annotations

__all__ = ["AdaptiveLimit"]


class AdaptiveLimit:
    """A limit that halves when the server is overloaded, and grows by one with each limit's worth of answers.

    That is how TCP finds the capacity of a line. Requests that were sent together are refused together, so the limit is
    halved once for all that were sent before it was halved last.

    Args:
        most: the limit to begin with, which it never exceeds.

    Example:
        >>> limit = AdaptiveLimit(8)
        >>> sent = limit.rounds
        >>> limit.refused(sent), limit.refused(sent), limit.now
        (None, None, 4)
    """

    __slots__ = ("_answers", "most", "now", "rounds")

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = most
        """How many requests may run now; at least 1."""
        self.rounds = 0
        """How often the limit was halved. Who sends a request keeps it, for `refused`."""
        self._answers = 0

    def refused(self, rounds: int) -> None:
        """Take in that the server had no capacity for a request.

        Args:
            rounds: the value of ``rounds`` when the request was sent.
        """
        if rounds == self.rounds:
            self.rounds += 1
            self.now = max(self.now // 2, 1)
        self._answers = 0

    def answered(self) -> None:
        """Take in that the server had capacity for a request."""
        if self.now < self.most:
            self._answers += 1
            if self._answers >= self.now:
                self._answers = 0
                self.now += 1
