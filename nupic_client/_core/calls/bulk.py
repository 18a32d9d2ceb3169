"""Many requests at once: what those for arrays and those for texts have in common. Nothing here waits.

A shell reads inputs while `BulkPipeline.wants_input`, performs the flow of each `Job` that `BulkPipeline.feed` returns,
passes its outcome to `BulkPipeline.finish`, and hands the results of `BulkPipeline.take` to the caller. A job whose flow
asks for its turn it puts into `BulkPipeline.waiting`, and goes on with it when `BulkPipeline.has_turn`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

from nupic_client._core.calls import flows
from nupic_client._core.calls.bulk_window import InFlightWindow
from nupic_client._numbers import check_integer
from nupic_client.errors import ConfigurationError, NupicError

if TYPE_CHECKING:
    from collections.abc import Generator

    from nupic_client._core.calls.session import StreamSession

__all__ = [
    "AWAIT_TURN",
    "NOTHING",
    "AwaitTurn",
    "BulkPipeline",
    "Found",
    "Job",
    "MapSettings",
    "Outcome",
    "ReadAnswer",
]

ResultT = TypeVar("ResultT")

Outcome: TypeAlias = "ResultT | NupicError"
"""The result of one input, or its error."""
Found: TypeAlias = "list[tuple[int, ResultT | NupicError]]"

NOTHING: Final = object()
"""Returned by `BulkPipeline.take`: the next result has not arrived yet."""


@dataclass(slots=True, eq=False)
class ReadAnswer:
    """A command: send the request of a session as a stream, once, and read the answer to its end; replies with None.

    An error is thrown in; if the session is still running then, the request may be sent again.
    """

    session: StreamSession[Any]


@dataclass(frozen=True, slots=True)
class AwaitTurn:
    """A command: wait until the pipeline lets the job go on; replies with None."""


AWAIT_TURN = AwaitTurn()
"""One for all requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSettings:
    """The settings of a ``map``, validated. Immutable.

    Args:
        concurrency: number of requests that may run at the same time.
        ordered: whether results come in the order of the inputs, or as they complete, with their index.
        errors: whether the error of an input is raised or returned in its place.

    Raises:
        ConfigurationError: a value is wrong.
    """

    concurrency: int = 32
    ordered: bool = True
    errors: Literal["raise", "return"] = "raise"

    def __post_init__(self) -> None:
        count = check_integer("concurrency", self.concurrency, "a whole number above 0", low=1)
        object.__setattr__(self, "concurrency", count)
        if self.errors not in ("raise", "return"):
            raise ConfigurationError(
                f"errors must be 'raise' or 'return', not {self.errors!r}", parameter="errors"
            )


@dataclass(slots=True, eq=False)
class Job:
    """A request to send.

    Args:
        number: its number in the window.
        flow: sends the request and returns its result. Its commands are those of `flows`, `ReadAnswer` and `AwaitTurn`.
        rows: number of rows of each of its inputs; empty where the input is sent by itself.
    """

    number: int
    flow: Generator[Any, Any, Any]
    rows: tuple[int, ...] = ()


class BulkPipeline(ABC, Generic[ResultT]):
    """The state of one ``map``.

    Args:
        settings: of the map.
        job_size: number of inputs that one request may hold.
    """

    awaits: type[flows.Invoke | ReadAnswer] = flows.Invoke
    """The command that many jobs wait for at the same time."""

    def __init__(self, settings: MapSettings, *, job_size: int = 1) -> None:
        self._settings = settings
        self._window = InFlightWindow[Any](settings.concurrency, ordered=settings.ordered, job_size=job_size)
        self._count = 0
        self._exhausted = False
        self.waiting: deque[Job] = deque()
        """The jobs that wait for their turn, in order."""

    @property
    def wants_input(self) -> bool:
        """Whether there is room for another input and there may be one."""
        return not self._exhausted and self._window.has_room

    @property
    def has_results(self) -> bool:
        """Whether `take` has a result."""
        return self._window.has_ready

    @property
    def has_turn(self) -> bool:
        """Whether the first job that waits for its turn may go on."""
        return True

    @property
    def finished(self) -> bool:
        """Whether all results were taken."""
        return self._exhausted and self._window.idle

    @abstractmethod
    def feed(self, inputs: Any) -> list[Job]:
        """Take the next input and return the jobs to start now."""

    def end(self) -> list[Job]:
        """Take the end of the inputs and return the jobs to start now."""
        self._exhausted = True
        return []

    def finish(self, job: Job, outcome: Outcome[ResultT]) -> Found[ResultT]:
        """Take the outcome of a job; return what the callback is to be called with: (index, outcome)."""
        if not job.rows and not isinstance(outcome, NupicError):
            return self._window.finish(job.number, (outcome,))
        indexes = self._window.items(job.number)
        outcomes: Sequence[Any] = (
            [outcome] * len(indexes) if isinstance(outcome, NupicError) else self._split(outcome, job)
        )
        found = self._window.finish(
            job.number,
            [
                _of_item(each, index) if isinstance(each, NupicError) else each
                for index, each in zip(indexes, outcomes, strict=True)
            ],
        )
        if self._settings.errors == "return":
            return found
        return [pair for pair in found if not isinstance(pair[1], NupicError)]

    def take(self) -> Any:
        """Return the next result, with its index where results come as they complete, or `NOTHING`.

        Raises:
            NupicError: the input's, where errors are raised.
        """
        taken = self._window.take()
        if taken is None:
            return NOTHING
        index, outcome = taken
        if isinstance(outcome, NupicError) and self._settings.errors == "raise":
            raise outcome
        return outcome if self._settings.ordered else (index, outcome)

    def _split(self, outcome: ResultT, job: Job) -> Sequence[Outcome[ResultT]]:  # noqa: ARG002
        """Return the outcomes of the inputs of a job."""
        return [outcome]


def _of_item(error: NupicError, index: int) -> NupicError:
    """Return the error with the index of the input in its text; inputs of one request have one error each."""
    return error.with_facts(message=f"item {index}: {error.message}")
