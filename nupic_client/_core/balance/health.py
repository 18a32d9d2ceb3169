"""The health of a server, or of one model on it: quarantine, its growing time, and the way back. Receives clock readings."""

from __future__ import annotations

import math

__all__ = ["LONGEST", "LONGEST_CERTAIN", "Health"]

_FIRST = 0.1
LONGEST = 10.0
"""Seconds of quarantine at most."""
LONGEST_CERTAIN = 60.0
"""The same after a failure that does not pass by itself, as one of TLS."""
_MOST_DOUBLINGS = 20
_LOST = 60.0
"""Seconds after which a probe is made again that nobody gave an answer for."""


class Health:
    """Whether a server, or one model on it, is well.

    The jitter is full, as in https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/: the many clients of
    a server that comes back do not all ask it at once.
    """

    __slots__ = ("_asked", "_failures", "due", "incident", "on_trial", "quarantine", "wanted")

    def __init__(self) -> None:
        self.due: float | None = None
        """Clock reading when the quarantine is over and a probe may ask; None while there is none."""
        self.on_trial = False
        """Whether the next answer decides: a probe said "ready", but a dead model process is reported as ready too."""
        self.wanted = False
        """Whether it was asked for since the last probe: an idle client sends nothing."""
        self.incident = 0
        """How often requests failed. The outcome of one that was sent before the last failure is old news."""
        self.quarantine = 0
        """The number of the quarantine."""
        self._failures = 0
        self._asked: float | None = None

    @property
    def well(self) -> bool:
        """Whether nothing speaks against it."""
        return self.due is None and not self.on_trial

    @property
    def probe_at(self) -> float:
        """Clock reading when a probe is to be made; infinite where none is."""
        if self.due is None:
            return math.inf
        if self._asked is not None:
            return self._asked + _LOST
        return self.due if self.wanted else math.inf

    def remaining(self, now: float) -> float:
        """Return the seconds of quarantine that are left."""
        return 0.0 if self.due is None else max(self.due - now, 0.0)

    def strike(self, now: float, draw: float, longest: float = LONGEST) -> None:
        """Put it into quarantine, for longer each time.

        Args:
            now: clock reading.
            draw: a random number, 0 <= draw < 1.
            longest: seconds.
        """
        window = min(longest, _FIRST * 2.0 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        self.quarantine += 1
        self.due = now + window * draw
        self.on_trial = False
        self._asked = None

    def ask(self, now: float) -> bool:
        """Return whether a probe is to be made now: once for each quarantine."""
        if now < self.probe_at:
            return False
        self._asked = now
        self.wanted = False
        return True

    def unasked(self) -> None:
        """Let the next probe be made: the last one was given up."""
        if self._asked is not None:
            self._asked, self.wanted = None, True

    def lift(self, *, trial: bool) -> None:
        """End the quarantine because a probe said "ready". If the next request fails, the next quarantine is longer."""
        self.due = self._asked = None
        self.on_trial = trial

    def restore(self) -> None:
        """End it because a request was answered."""
        self.lift(trial=False)
        self._failures = 0
