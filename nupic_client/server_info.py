"""Information of a server about itself and its models."""

from __future__ import annotations

from dataclasses import dataclass, field

from nupic_client._public import publish
from nupic_client.naming import ModelName

__all__ = ["Durations", "ModelInfo", "ModelStatistics", "ServerInfo"]


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

    count: int
    total: float

    @property
    def mean(self) -> float | None:
        """The mean in seconds, or None if the count is 0."""
        return self.total / self.count if self.count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """Counts and durations of a model since the start of the server.

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


publish(__name__)
