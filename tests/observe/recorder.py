"""An observer that keeps what it is told, and waiting for what comes from another thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from nupic_client import Observer, RequestInfo, RequestOutcome

PATIENCE = 60.0


class Recorder(Observer):
    """Keeps all calls, in their order, with the thread that made them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, RequestInfo, tuple[Any, ...]]] = []
        self.threads: list[int] = []

    def note(self, name: str, info: RequestInfo, *facts: Any) -> None:
        self.threads.append(threading.get_ident())
        self.calls.append((name, info, facts))

    def on_start(self, info: RequestInfo) -> object:
        self.note("start", info)
        return {"span": info.request_id}

    def on_first_token(self, info: RequestInfo, seconds: float) -> object:
        return self.note("first", info, seconds)

    def on_retry(self, info: RequestInfo, error: Exception, pause: float, attempt: int) -> object:
        return self.note("retry", info, error, pause, attempt)

    def on_end(self, info: RequestInfo, outcome: RequestOutcome) -> object:
        return self.note("end", info, outcome)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]

    @property
    def infos(self) -> list[RequestInfo]:
        return [info for name, info, _ in self.calls if name == "start"]

    @property
    def outcomes(self) -> list[RequestOutcome]:
        return [facts[0] for name, _, facts in self.calls if name == "end"]

    def only(self) -> tuple[RequestInfo, RequestOutcome]:
        """Return the one request, which got one end, and all calls of which have the same object."""
        wait_until(lambda: "end" in self.names)
        (info,), (outcome,) = self.infos, self.outcomes
        assert all(each is info for _, each, _ in self.calls)
        return info, outcome

    def check_pairs(self, count: int) -> None:
        """Check that so many requests began, and that each ends once."""
        wait_until(lambda: self.names.count("end") >= count)
        starts = [info.request_id for info in self.infos]
        ends = [info.request_id for name, info, _ in self.calls if name == "end"]
        assert len(starts) == len(set(starts)) == count
        assert sorted(starts) == sorted(ends)


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)
