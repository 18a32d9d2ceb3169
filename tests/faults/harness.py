"""What the tests of all faults have in common."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from faults.rows import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from faults.reading import Colour, Outcome
    from faults.rows import Row
    from nupic_client import StreamingClient
    from nupic_client.local.engine import EngineRequest

__all__ = ["Script", "check", "until_whole"]

_SLACK = 15.0
"""Seconds a loaded machine may take on top of what the timeouts allow. It says "does not hang", nothing more."""


class Script:
    """What the server answers: four tokens, with a pause where a test needs one."""

    def __init__(self) -> None:
        self.on_request: Callable[[], None] = lambda: None
        """Called when a request has come, before its first token."""
        self.go_on = threading.Event()
        """Clear it to have the answer pause after two tokens."""
        self.go_on.set()

    def __call__(self, _request: EngineRequest) -> Iterator[Any]:
        """Play the answer."""
        self.on_request()
        yield "one"
        yield " two"
        self.go_on.wait(60)
        yield " three"
        yield " four"


def check(row: Row, outcome: Outcome) -> None:
    """Compare what was seen with what the row says."""
    assert outcome.error in row.error, outcome
    assert outcome.text in row.texts, outcome
    if outcome.error != "none":
        assert outcome.partial_text == outcome.text, outcome
    if row.retryable is not None:
        assert outcome.retryable == row.retryable, outcome
    if row.attempts is not None:
        assert outcome.attempts == row.attempts, outcome
    assert outcome.seconds < row.limit + _SLACK, outcome


def until_whole(flavour: Colour, client: StreamingClient, within: float) -> tuple[Outcome, float]:
    """Generate until a whole answer comes; return it and how long that took.

    Errors before it are of the connection, until gRPC tries again to make one.
    """
    begin = time.monotonic()
    while True:
        outcome = flavour.read(client)
        seconds = time.monotonic() - begin
        if outcome.error == "none":
            assert outcome.text == WHOLE, outcome
            return outcome, seconds
        assert outcome.error == "ConnectionFailedError (UNAVAILABLE)", outcome
        assert seconds < within, outcome
