"""The statistics of a model, in seconds."""

from __future__ import annotations

from nupic_client import BatchStatistics, Durations, MemoryUsage, ResponseStatistics
from nupic_client._core.calls.statistics import statistics_of
from nupic_client._core.kserve import wire


def message():
    entry = wire.pb.ModelStatistics(name="gpt", version="1", last_inference=1795852821042)
    entry.inference_stats.cache_hit.count, entry.inference_stats.cache_hit.ns = 2, 4_000_000_000
    entry.inference_stats.cache_miss.count = 3
    for size in (4, 1):
        batch = entry.batch_stats.add(batch_size=size)
        batch.compute_infer.count, batch.compute_infer.ns = size, 1_000_000_000
    for number in ("10", "9"):
        response = entry.response_stats[number]
        response.empty_response.count, response.cancel.ns = 1, 500_000_000
    entry.memory_usage.add(type="GPU", id=1, byte_size=7)
    return entry


def test_everything_of_the_message_is_there():
    found = statistics_of(message())
    assert found.cache_hit == Durations(count=2, total=4.0)
    assert found.cache_miss == Durations(count=3, total=0.0)
    assert found.last_inference == 1795852821.042
    assert found.batch_stats == (
        BatchStatistics(batch_size=1, compute_infer=Durations(count=1, total=1.0)),
        BatchStatistics(batch_size=4, compute_infer=Durations(count=4, total=1.0)),
    )
    assert list(found.response_stats) == ["9", "10"]
    assert found.response_stats["9"] == ResponseStatistics(
        empty_response=Durations(count=1), cancel=Durations(total=0.5)
    )
    assert found.memory_usage == (MemoryUsage(type="GPU", id=1, byte_size=7),)


def test_nothing_happened_yet():
    found = statistics_of(wire.pb.ModelStatistics(name="gpt", version="1"))
    assert found.last_inference is None
    assert (found.batch_stats, found.response_stats, found.memory_usage) == ((), {}, ())


def test_the_protocol_has_no_more_of_them():
    """A field that a newer protocol adds belongs into our classes."""
    fields = {
        name: [field.name for field in getattr(wire.pb, name).DESCRIPTOR.fields]
        for name in ("InferStatistics", "InferBatchStatistics", "InferResponseStatistics", "ModelStatistics")
    }
    found = statistics_of(message())
    assert set(fields["InferStatistics"]) <= set(found.__slots__)
    assert set(fields["InferBatchStatistics"]) == set(BatchStatistics.__slots__)
    assert set(fields["InferResponseStatistics"]) == set(ResponseStatistics.__slots__)
    assert set(fields["ModelStatistics"]) - {"inference_stats"} <= set(found.__slots__)
