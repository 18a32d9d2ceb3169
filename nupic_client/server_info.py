"""Information of a server about itself and its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nupic_client._public import publish
from nupic_client.naming import ModelName

__all__ = [
    "BatchStatistics",
    "CudaSharedMemory",
    "Durations",
    "MemoryUsage",
    "ModelInfo",
    "ModelStatistics",
    "ResponseStatistics",
    "ServerInfo",
    "SystemSharedMemory",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """A server's metadata.

    Args:
        name: e.g. ``"triton"``.
        version: e.g. ``"2.51.0"``.
        extensions: the protocol extensions that it supports.
    """

    name: str
    version: str
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One version of a model on a server.

    Args:
        name: the server's name of the model.
        version: its version.
        state: ``"READY"``, ``"LOADING"``, ``"UNLOADING"``, ``"UNAVAILABLE"``, or empty if the server does not report it.
        reason: why it is not ready.
        streams: whether it is decoupled, so that it can stream; None if unknown.
        backend: Triton's backend or platform; empty if unknown.
        family: the prompt family that the name implies, or None.
        friendly_name: the registry's name for it, or None.
        parts: the parts of the name.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""
    streams: bool | None = None
    backend: str = ""
    family: str | None = None
    friendly_name: str | None = None
    parts: ModelName = field(repr=False)

    @property
    def ready(self) -> bool:
        """Whether it is ready for requests."""
        return self.state == "READY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """A count and a total duration.

    Args:
        count: the number of times.
        total: all of them together, in seconds.
    """

    count: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        """The mean in seconds, or None if the count is 0."""
        return self.total / self.count if self.count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatistics:
    """Durations of the executions with batches of one size.

    Args:
        batch_size: the size.
        compute_input: preparing inputs.
        compute_infer: running the model.
        compute_output: extracting outputs.
    """

    batch_size: int
    compute_input: Durations = Durations()
    compute_infer: Durations = Durations()
    compute_output: Durations = Durations()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStatistics:
    """Durations of one response of a decoupled model, such as the first of each request.

    Args:
        compute_infer: from the response before it, or the request's beginning, to this one.
        compute_output: extracting its outputs.
        success: responses that were sent.
        fail: responses that were an error.
        empty_response: responses without outputs.
        cancel: responses that were not sent because the request was cancelled; only the time to clean up.
    """

    compute_infer: Durations = Durations()
    compute_output: Durations = Durations()
    success: Durations = Durations()
    fail: Durations = Durations()
    empty_response: Durations = Durations()
    cancel: Durations = Durations()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUsage:
    """Memory that a model takes.

    Args:
        type: such as ``"CPU"``, ``"CPU_PINNED"`` or ``"GPU"``.
        id: which memory of that type, such as the number of the GPU.
        byte_size: its size in bytes.
    """

    type: str
    id: int
    byte_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSharedMemory:
    """A region of system shared memory that is registered with a server.

    Args:
        name: its name in requests.
        key: its name for the operating system.
        offset: where it begins in that memory, in bytes.
        byte_size: its size in bytes.
    """

    name: str
    key: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaSharedMemory:
    """A region of the memory of a GPU that is registered with a server.

    Args:
        name: its name in requests.
        device_id: the number of the GPU.
        byte_size: its size in bytes.
    """

    name: str
    device_id: int
    byte_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """Counts and durations of a model since the start of the server, or since the model was loaded.

    Args:
        name: the server's name of the model.
        version: its version.
        inference_count: inferences, each element of a batch counted.
        execution_count: executions, a batch counted once.
        success: requests that succeeded.
        fail: requests that failed.
        queue: waiting for the model.
        compute_input: preparing inputs.
        compute_infer: running the model.
        compute_output: extracting outputs.
        cache_hit: requests that were answered from the response cache, with the time of looking the response up.
        cache_miss: requests that were not there, with the time of looking and of putting their response into the cache.
        last_inference: when the last inference was made, in seconds since 1970 as `time.time` has them; None if there was
            none.
        batch_stats: the executions by the size of their batch, the smallest first.
        response_stats: the responses of a decoupled model by their number in a request, as text: ``"0"`` is the first.
            Empty where the server does not tell, as Triton 2.51.
        memory_usage: the memory that it takes. Empty where the server does not tell, as most backends.
    """

    name: str
    version: str
    inference_count: int
    execution_count: int
    success: Durations
    fail: Durations
    queue: Durations
    compute_input: Durations
    compute_infer: Durations
    compute_output: Durations
    cache_hit: Durations = Durations()
    cache_miss: Durations = Durations()
    last_inference: float | None = None
    batch_stats: tuple[BatchStatistics, ...] = ()
    response_stats: Mapping[str, ResponseStatistics] = field(default_factory=dict)
    memory_usage: tuple[MemoryUsage, ...] = ()


publish(__name__)
