"""The statistics of the models, counted as the real server counts them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from nupic_client._core.kserve import wire

__all__ = ["Execution", "ModelCounter"]

_STEPS = ("compute_input", "compute_infer", "compute_output")


@dataclass(slots=True)
class Execution:
    """The durations of one request, in nanoseconds.

    A request that reaches its model counts as a success, also if the model then fails: so does the real server for
    models of its Python backend.

    Args:
        batch: the elements of its batch.
    """

    batch: int = 1
    counted: bool = False
    begin: int = field(default_factory=time.monotonic_ns)
    queue: int = 0
    compute_input: int = 0
    compute_infer: int = 0
    compute_output: int = 0

    @property
    def age(self) -> int:
        """The nanoseconds since its begin."""
        return time.monotonic_ns() - self.begin


class ModelCounter:
    """The statistics of one model since it was loaded. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_inference = 0
        self._sums = {
            name: [0, 0] for name in ("success", "fail", "queue", *_STEPS)
        }  # each a count and nanoseconds
        self._batches: dict[int, dict[str, list[int]]] = {}

    def succeeded(self, execution: Execution) -> None:
        """Count a request that its model has answered; further calls for the same request do nothing."""
        if execution.counted:
            return
        execution.counted = True
        success = execution.age
        with self._lock:
            self._last_inference = time.time_ns() // 1_000_000
            batch = self._batches.setdefault(execution.batch, {name: [0, 0] for name in _STEPS})
            _add(self._sums["success"], success)
            _add(self._sums["queue"], execution.queue)
            for name in _STEPS:
                _add(self._sums[name], getattr(execution, name))
                _add(batch[name], getattr(execution, name))

    def failed(self, execution: Execution) -> None:
        """Count a request that could not be given to the model."""
        with self._lock:
            _add(self._sums["fail"], execution.age)

    def message(self, name: str, version: str) -> Any:
        """Return the ``ModelStatistics`` message."""
        result = wire.pb.ModelStatistics(name=name, version=version)
        with self._lock:
            result.last_inference = self._last_inference
            for size, durations in sorted(self._batches.items()):
                count = durations["compute_infer"][0]
                result.inference_count += size * count
                result.execution_count += count
                _fill(result.batch_stats.add(batch_size=size), durations)
            _fill(result.inference_stats, self._sums)
        for unused in ("cache_hit", "cache_miss"):
            getattr(result.inference_stats, unused).SetInParent()
        return result


def _add(durations: list[int], ns: int) -> None:
    durations[0] += 1
    durations[1] += ns


def _fill(message: Any, sums: dict[str, list[int]]) -> None:
    for name, (count, ns) in sums.items():
        part = getattr(message, name)
        part.SetInParent()
        part.count, part.ns = count, ns
