"""Information of a server about itself and its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nupic_client._public import publish
from nupic_client._repr import html_table, short_repr
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
    """E.g. ``"triton"``."""
    version: str
    """E.g. ``"2.51.0"``."""
    extensions: tuple[str, ...] = ()
    """The protocol extensions that it supports."""

    def __repr__(self) -> str:
        return short_repr(self)

    def _repr_html_(self) -> str:
        rows = [("version", self.version), ("extensions", ", ".join(self.extensions))]
        return html_table(self.name, rows)


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
    """The server's name of the model."""
    version: str = ""
    """Its version."""
    state: str = ""
    """``"READY"``, ``"LOADING"``, ``"UNLOADING"``, ``"UNAVAILABLE"``, or empty if the server does not report it."""
    reason: str = ""
    """Why it is not ready."""
    streams: bool | None = None
    """Whether it is decoupled, so that it can stream; None if unknown."""
    backend: str = ""
    """Triton's backend or platform; empty if unknown."""
    family: str | None = None
    """The prompt family that the name implies, or None."""
    friendly_name: str | None = None
    """The registry's name for it, or None."""
    parts: ModelName = field(repr=False)
    """The parts of the name."""

    @property
    def ready(self) -> bool:
        """Whether it is ready for requests."""
        return self.state == "READY"

    def __repr__(self) -> str:
        return short_repr(self)

    def _repr_html_(self) -> str:
        streams = None if self.streams is None else "yes" if self.streams else "no"
        rows = [
            *(
                ("version", self.version),
                ("state", self.state),
                ("reason", self.reason),
                ("streams", streams),
            ),
            *(("backend", self.backend), ("family", self.family), ("friendly name", self.friendly_name)),
        ]
        return html_table(self.name, [(name, value) for name, value in rows if value])


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """A count and a total duration.

    Args:
        count: the number of times.
        total: all of them together, in seconds.
    """

    count: int = 0
    """The number of times."""
    total: float = 0.0
    """All of them together, in seconds."""

    @property
    def mean(self) -> float | None:
        """The mean in seconds, or None if the count is 0."""
        return self.total / self.count if self.count else None

    def __repr__(self) -> str:
        return short_repr(self)


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
    """The size."""
    compute_input: Durations = Durations()
    """Preparing inputs."""
    compute_infer: Durations = Durations()
    """Running the model."""
    compute_output: Durations = Durations()
    """Extracting outputs."""


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
    """From the response before it, or the request's beginning, to this one."""
    compute_output: Durations = Durations()
    """Extracting its outputs."""
    success: Durations = Durations()
    """Responses that were sent."""
    fail: Durations = Durations()
    """Responses that were an error."""
    empty_response: Durations = Durations()
    """Responses without outputs."""
    cancel: Durations = Durations()
    """Responses that were not sent because the request was cancelled; only the time to clean up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUsage:
    """Memory that a model takes.

    Args:
        type: such as ``"CPU"``, ``"CPU_PINNED"`` or ``"GPU"``.
        id: which memory of that type, such as the number of the GPU.
        byte_size: its size in bytes.
    """

    type: str
    """Such as ``"CPU"``, ``"CPU_PINNED"`` or ``"GPU"``."""
    id: int
    """Which memory of that type, such as the number of the GPU."""
    byte_size: int
    """Its size in bytes."""


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
    """Its name in requests."""
    key: str
    """Its name for the operating system."""
    offset: int
    """Where it begins in that memory, in bytes."""
    byte_size: int
    """Its size in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaSharedMemory:
    """A region of the memory of a GPU that is registered with a server.

    Args:
        name: its name in requests.
        device_id: the number of the GPU.
        byte_size: its size in bytes.
    """

    name: str
    """Its name in requests."""
    device_id: int
    """The number of the GPU."""
    byte_size: int
    """Its size in bytes."""


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
    """The server's name of the model."""
    version: str
    """Its version."""
    inference_count: int
    """Inferences, each element of a batch counted."""
    execution_count: int
    """Executions, a batch counted once."""
    success: Durations
    """Requests that succeeded."""
    fail: Durations
    """Requests that failed."""
    queue: Durations
    """Waiting for the model."""
    compute_input: Durations
    """Preparing inputs."""
    compute_infer: Durations
    """Running the model."""
    compute_output: Durations
    """Extracting outputs."""
    cache_hit: Durations = Durations()
    """Requests that were answered from the response cache, with the time of looking the response up."""
    cache_miss: Durations = Durations()
    """Requests that were not there, with the time of looking and of putting their response into the cache."""
    last_inference: float | None = None
    """When the last inference was made, in seconds since 1970 as `time.time` has them; None if there was none."""
    batch_stats: tuple[BatchStatistics, ...] = ()
    """The executions by the size of their batch, the smallest first."""
    response_stats: Mapping[str, ResponseStatistics] = field(default_factory=dict)
    """The responses of a decoupled model by their number in a request, as text: ``"0"`` is the first. Empty where
    the server does not tell, as Triton 2.51."""
    memory_usage: tuple[MemoryUsage, ...] = ()
    """The memory that it takes. Empty where the server does not tell, as most backends."""


publish(__name__)
