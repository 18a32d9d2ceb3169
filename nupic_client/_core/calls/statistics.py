"""The statistics of a model, from the message of the protocol."""

from __future__ import annotations

from typing import Any

from nupic_client.server_info import (
    BatchStatistics,
    Durations,
    MemoryUsage,
    ModelStatistics,
    ResponseStatistics,
)

__all__ = ["statistics_of"]

_REQUEST = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)
_BATCH = ("compute_input", "compute_infer", "compute_output")
_RESPONSE = ("compute_infer", "compute_output", "success", "fail", "empty_response", "cancel")


def statistics_of(entry: Any) -> ModelStatistics:
    """Return the statistics of a ``ModelStatistics`` message, with seconds in place of nanoseconds."""
    return ModelStatistics(
        name=entry.name,
        version=entry.version,
        inference_count=entry.inference_count,
        execution_count=entry.execution_count,
        last_inference=entry.last_inference / 1000 or None,  # the message has milliseconds
        batch_stats=tuple(
            BatchStatistics(batch_size=batch.batch_size, **_durations(batch, _BATCH))
            for batch in sorted(entry.batch_stats, key=lambda batch: batch.batch_size)
        ),
        response_stats={
            number: ResponseStatistics(**_durations(entry.response_stats[number], _RESPONSE))
            for number in sorted(entry.response_stats, key=lambda number: (len(number), number))
        },
        memory_usage=tuple(
            MemoryUsage(type=memory.type, id=memory.id, byte_size=memory.byte_size)
            for memory in entry.memory_usage
        ),
        **_durations(entry.inference_stats, _REQUEST),
    )


def _durations(message: Any, names: tuple[str, ...]) -> dict[str, Durations]:
    return {
        name: Durations(count=getattr(message, name).count, total=getattr(message, name).ns / 1e9)
        for name in names
    }
