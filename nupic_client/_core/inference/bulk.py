"""Many inputs to one model: the requests to make of them and the order of results. Nothing here waits.

A shell reads inputs while `Pipeline.wants_input`, performs the flow of each `Job` that `Pipeline.feed` returns, passes its
outcome to `Pipeline.finish`, and hands the results of `Pipeline.take` to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from nupic_client._core.calls import flows
from nupic_client._core.calls.auth import signed_calls
from nupic_client._core.calls.observation import observed
from nupic_client._core.inference.batching import batched
from nupic_client._core.inference.bulk_window import InFlightWindow
from nupic_client._core.inference.request import InferenceRequest, find_model_observed
from nupic_client._numbers import check_integer
from nupic_client.errors import ConfigurationError, NupicError, ProtocolError

if TYPE_CHECKING:
    from nupic_client._arrays import ArrayLike
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.observation import Observation, Watch
    from nupic_client._core.inference.embedding import EmbeddingBatcher
    from nupic_client._core.inference.inputs import EncodedBatch
    from nupic_client._core.inference.result import InferenceResult
    from nupic_client.signature import ModelSignature

__all__ = ["NOTHING", "BulkSettings", "Job", "Outcome", "Pipeline", "embedding_pipeline", "open_pipeline"]

Outcome: TypeAlias = "InferenceResult | NupicError"
"""The result of one input, or its error."""
Found: TypeAlias = "list[tuple[int, Outcome]]"

NOTHING: Final = object()
"""Returned by `Pipeline.take`: the next result has not arrived yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkSettings:
    """The settings of a ``map``, validated. Immutable.

    Args:
        concurrency: number of requests that may run at the same time.
        ordered: whether results come in the order of the inputs, or as they complete, with their index.
        errors: whether the error of an input is raised or returned in its place.
        batch_size: number of input rows in one request at most; None sends each input by itself.

    Raises:
        ConfigurationError: a value is wrong.
    """

    concurrency: int = 32
    ordered: bool = True
    errors: Literal["raise", "return"] = "raise"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("concurrency", "batch_size"):
            value = getattr(self, name)
            if value is not None or name == "concurrency":
                count = check_integer(name, value, "a whole number above 0", low=1)
                object.__setattr__(self, name, count)
        if self.errors not in {"raise", "return"}:
            raise ConfigurationError(f"errors must be 'raise' or 'return', not {self.errors!r}")


@dataclass(slots=True, eq=False)
class Job:
    """A request to send.

    Args:
        number: its number in the window.
        flow: sends the request and returns its result.
        rows: number of rows of each of its inputs; empty where the input is sent by itself.
    """

    number: int
    flow: flows.Flow[InferenceResult]
    rows: tuple[int, ...] = ()


class Pipeline:
    """The state of one ``map``.

    Args:
        request: what each request is made of.
        signature: of the model.
        settings: of the map.
        watch: tells an observer of the requests; None without one.

    Raises:
        ConfigurationError: ``batch_size`` is more than the model takes.
    """

    def __init__(
        self,
        request: InferenceRequest,
        signature: ModelSignature,
        settings: BulkSettings,
        watch: Watch | None = None,
    ) -> None:
        self._request = request
        self._watch = watch
        self._plain = watch is None and isinstance(request.options.metadata, tuple)
        self._batch_size = 0
        if settings.batch_size is not None:
            signature, self._batch_size = batched(signature, settings.batch_size)
        self._codec = request.codec(signature)
        self._settings = settings
        self._window = InFlightWindow[Outcome](
            settings.concurrency, ordered=settings.ordered, job_size=max(self._batch_size, 1)
        )
        self._group: list[EncodedBatch] = []
        self._group_start = 0
        self._count = 0
        self._exhausted = False

    @property
    def wants_input(self) -> bool:
        """Whether there is room for another input and there may be one."""
        return not self._exhausted and self._window.has_room

    @property
    def has_results(self) -> bool:
        """Whether `take` has a result."""
        return self._window.has_ready

    @property
    def finished(self) -> bool:
        """Whether all results were taken."""
        return self._exhausted and self._window.idle

    def feed(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> list[Job]:
        """Take the next input and return the jobs to start now."""
        index = self._count
        self._count += 1
        if not self._batch_size:
            flow = self._single(inputs) if self._plain else self._attended(partial(self._single, inputs))
            return [Job(self._window.start((index,)), flow)]
        from nupic_client._core.inference.inputs import encode_inputs  # noqa: PLC0415 - it imports numpy

        try:
            batch = encode_inputs(self._codec.signature, inputs)
        except ConfigurationError as error:
            return [*self._close_group(), Job(self._window.start((index,)), _raise(error))]
        jobs = []
        rows = sum(item.rows or 1 for item in self._group) + (batch.rows or 1)
        if self._group and (rows > self._batch_size or not self._group[0].fits(batch)):
            jobs = self._close_group()
        if not self._group:
            self._group_start = index
        self._group.append(batch)
        if sum(item.rows or 1 for item in self._group) >= self._batch_size:
            jobs += self._close_group()
        return jobs

    def end(self) -> list[Job]:
        """Take the end of the inputs and return the jobs to start now."""
        self._exhausted = True
        return self._close_group()

    def finish(self, job: Job, outcome: Outcome) -> Found:
        """Take the outcome of a job; return what the callback is to be called with: (index, outcome)."""
        if not job.rows and not isinstance(outcome, NupicError):
            return self._window.finish(job.number, (outcome,))
        indexes = self._window.items(job.number)
        outcomes = [outcome] * len(indexes) if isinstance(outcome, NupicError) else _split(outcome, job.rows)
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

    def _close_group(self) -> list[Job]:
        group, self._group = self._group, []
        if not group:
            return []
        number = self._window.start(range(self._group_start, self._group_start + len(group)))
        rows = tuple(item.rows or 1 for item in group) if len(group) > 1 else ()
        batch = type(group[0]).joined(group)
        flow = self._batch(batch) if self._plain else self._attended(partial(self._batch, batch))
        return [Job(number, flow, rows)]

    def _attended(
        self, make: Callable[[Observation | None], flows.Flow[InferenceResult]]
    ) -> flows.Flow[InferenceResult]:
        """Return the flow of a request that an observer is told of, or whose metadata a function makes."""
        watch = self._watch
        flow = make(None) if watch is None else observed(watch, make, **self._request.facts())
        return flow if isinstance(self._request.options.metadata, tuple) else signed_calls(flow)

    def _single(
        self, inputs: Mapping[str, ArrayLike] | ArrayLike, observation: Observation | None = None
    ) -> flows.Flow[InferenceResult]:
        start: float = yield flows.READ_CLOCK
        codec = self._codec
        request_id = self._request.new_id() if observation is None else observation.request_id
        message = codec.write(inputs, request_id)
        return (yield from self._request.send(codec, message, request_id, start, observation=observation))

    def _batch(
        self, batch: EncodedBatch, observation: Observation | None = None
    ) -> flows.Flow[InferenceResult]:
        start: float = yield flows.READ_CLOCK
        codec = self._codec
        request_id = self._request.new_id() if observation is None else observation.request_id
        message = codec.write_batch(batch, request_id)
        return (yield from self._request.send(codec, message, request_id, start, observation=observation))


def open_pipeline(
    request: InferenceRequest, settings: BulkSettings, models: ModelDirectory, watch: Watch | None = None
) -> flows.Flow[Pipeline]:
    """Find the model and make the pipeline to it.

    Args:
        request: what each request is made of.
        settings: of the map.
        models: the client's knowledge of the server's models; extended here.
        watch: tells an observer of the requests; None without one.

    Raises:
        ConfigurationError: as `Pipeline`.
        RequestError: the server could not be asked.
    """
    signature = yield from find_model_observed(request, models, watch)
    return Pipeline(request, signature, settings, watch)


def embedding_pipeline(
    batcher: EmbeddingBatcher, settings: BulkSettings, watch: Watch | None = None
) -> Pipeline:
    """Return the pipeline for the requests of an embedding."""
    return Pipeline(batcher.request, batcher.signature, settings, watch)


def _raise(error: ConfigurationError) -> flows.Flow[InferenceResult]:
    """Fail as the encoding of an input did, in the turn of that input."""
    yield flows.READ_CLOCK
    raise error


def _split(result: InferenceResult, rows: tuple[int, ...]) -> list[Outcome]:
    """Return the rows of each input of a batch."""
    for name, array in result.items():
        if array.shape[:1] != (sum(rows),):
            error = ProtocolError(
                f"output {name!r} must have the batch size {sum(rows)} of the request, not the shape"
                f" {list(array.shape)}",
                model=result.model,
                request_id=result.request_id,
            )
            return [error] * len(rows)
    outcomes: list[Outcome] = []
    start = 0
    for count in rows:
        outcomes.append(result.rows(start, start + count))
        start += count
    return outcomes


def _of_item(error: NupicError, index: int) -> NupicError:
    """Return the error with the index of the input in its text; inputs of one request have one error each."""
    return error.with_facts(message=f"item {index}: {error.message}")
