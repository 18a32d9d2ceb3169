"""Many inputs to one model: the requests to make of them. Nothing here waits; see `nupic_client._core.calls.bulk`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from nupic_client._core.calls import flows
from nupic_client._core.calls.auth import signed_calls
from nupic_client._core.calls.bulk import NOTHING, BulkPipeline, Job, MapSettings
from nupic_client._core.calls.observation import observed
from nupic_client._core.inference.batching import batched
from nupic_client._core.inference.request import InferenceRequest, find_model_observed
from nupic_client._numbers import check_integer
from nupic_client.errors import ConfigurationError, NupicError, ProtocolError

if TYPE_CHECKING:
    from nupic_client._arrays import ArrayLike
    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.observation import Observation
    from nupic_client._core.calls.watch import Watch
    from nupic_client._core.inference.embedding import EmbeddingBatcher
    from nupic_client._core.inference.inputs import EncodedBatch
    from nupic_client._core.inference.result import InferenceResult
    from nupic_client.signature import ModelSignature

__all__ = ["NOTHING", "BulkSettings", "Job", "Outcome", "Pipeline", "embedding_pipeline", "open_pipeline"]

T = TypeVar("T")
Outcome: TypeAlias = "InferenceResult | NupicError"
"""The result of one input, or its error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkSettings(MapSettings):
    """The settings of a ``map`` of inputs, validated. Immutable.

    Args:
        concurrency: as of `MapSettings`.
        ordered: as of `MapSettings`.
        errors: as of `MapSettings`.
        batch_size: number of input rows in one request at most; None sends each input by itself.

    Raises:
        ConfigurationError: a value is wrong.
    """

    batch_size: int | None = None

    def __post_init__(self) -> None:
        MapSettings.__post_init__(self)
        if self.batch_size is not None:
            count = check_integer("batch_size", self.batch_size, "a whole number above 0", low=1)
            object.__setattr__(self, "batch_size", count)


class Pipeline(BulkPipeline["InferenceResult"]):
    """The state of one ``map`` of inputs.

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
        super().__init__(settings, job_size=max(self._batch_size, 1))
        self._group: list[EncodedBatch] = []
        self._group_start = 0

    def feed(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> list[Job]:
        """Take the next input and return the jobs to start now."""
        index = self._count
        self._count += 1
        if not self._batch_size:
            write = self._codec.write
            flow = self._send(write, inputs) if self._plain else self._attended(write, inputs)
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
        return [*super().end(), *self._close_group()]

    def _split(self, outcome: InferenceResult, job: Job) -> list[Outcome]:
        return _split(outcome, job.rows)

    def _close_group(self) -> list[Job]:
        group, self._group = self._group, []
        if not group:
            return []
        number = self._window.start(range(self._group_start, self._group_start + len(group)))
        rows = tuple(item.rows or 1 for item in group) if len(group) > 1 else ()
        batch = type(group[0]).joined(group)
        write = self._codec.write_batch
        flow = self._send(write, batch) if self._plain else self._attended(write, batch)
        return [Job(number, flow, rows)]

    def _attended(self, write: Callable[[T, str], bytes], inputs: T) -> flows.Flow[InferenceResult]:
        """Return the flow of a request that an observer is told of, or whose metadata a function makes."""
        watch, make = self._watch, partial(self._send, write, inputs)
        flow = make(None) if watch is None else observed(watch, make, **self._request.facts())
        made = watch is not None and watch.adds_metadata
        return signed_calls(flow) if made or not isinstance(self._request.options.metadata, tuple) else flow

    def _send(
        self, write: Callable[[T, str], bytes], inputs: T, observation: Observation | None = None
    ) -> flows.Flow[InferenceResult]:
        """Send one request; ``write`` makes its message of the inputs and an id."""
        start: float = yield flows.READ_CLOCK
        request_id = self._request.new_id() if observation is None else observation.request_id
        message = write(inputs, request_id)
        return (
            yield from self._request.send(self._codec, message, request_id, start, observation=observation)
        )


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
