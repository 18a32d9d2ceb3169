"""The figures of a metric are those of numpy, which genai-perf takes them from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client.bench.statistics import PERCENTILES, STATISTICS, Samples

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


def collected(values, most=500_000):
    samples = Samples(most)
    for value in values:
        samples.add(value)
    return samples.statistics()


@given(VALUES)
def test_they_are_those_of_numpy(values):
    found = collected(values)
    expected = {
        "count": len(values),
        "avg": np.mean(values),
        "min": np.min(values),
        "max": np.max(values),
        "std": np.std(values),
        **{f"p{share}": np.percentile(values, share) for share in PERCENTILES},
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6, abs=1e-6), name


def test_a_percentile_lies_between_the_two_nearest_values():
    found = collected([40.0, 10.0, 30.0, 20.0])
    assert (found.p25, found.p50, found.p75, found.p99) == pytest.approx((17.5, 25.0, 32.5, 39.7))


def test_no_value_has_no_figures():
    assert Samples().statistics() is None


def test_the_figures_have_names_of_their_own():
    assert set(STATISTICS) <= {*type(collected([1.0])).__slots__}
    assert len(STATISTICS) == 13


def test_of_many_values_a_part_is_kept_that_stands_for_all():
    samples = Samples(1000)
    for value in range(100_000):
        samples.add(float(value))
    found = samples.statistics()
    assert len(samples.values) == 1000
    assert (found.count, found.min, found.max) == (100_000, 0.0, 99_999.0)
    assert found.avg == pytest.approx(49_999.5)
    assert found.std == pytest.approx(np.std(np.arange(100_000)))
    assert found.p50 == pytest.approx(50_000, rel=0.15)
