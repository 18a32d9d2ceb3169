"""The durations of a generation from clock readings that are handed in: no clock runs here."""

from __future__ import annotations

import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.generation.timing import Stopwatch


def timing(*arrivals, start=100.0, end=None, output_tokens=None, waited=None):
    watch = Stopwatch(start)
    for moment in arrivals:
        watch.arrived(moment)
    return watch.timing(arrivals[-1] if end is None else end, output_tokens, waited)


def test_an_answer_without_text_has_a_total_only():
    found = timing(end=103.0)
    assert (found.total, found.chunks) == (3.0, 0)
    assert found.time_to_first_token is None
    assert found.inter_token_latency is None
    assert found.tokens_per_second is None
    assert found.chunks_per_second is None


def test_one_chunk_has_a_first_token_and_no_latency():
    found = timing(101.0, end=102.0)
    assert (found.time_to_first_token, found.chunks) == (1.0, 1)
    assert found.inter_token_latency is None
    assert found.chunks_per_second is None


def test_without_a_token_count_each_chunk_counts_as_one_and_tokens_per_second_is_unknown():
    found = timing(101.0, 102.0, 105.0)
    assert found.inter_token_latency.mean == 2.0
    assert found.chunks_per_second == 0.5
    assert found.tokens_per_second is None


def test_the_mean_latency_divides_by_the_tokens_the_server_counted():
    found = timing(101.0, 102.0, 105.0, output_tokens=9)
    assert found.inter_token_latency.mean == 0.5
    assert found.tokens_per_second == 2.0
    assert found.chunks_per_second == 0.5


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_counted_tokens_fall_back_to_chunks(count):
    found = timing(101.0, 103.0, output_tokens=count)
    assert found.inter_token_latency.mean == 2.0
    assert found.tokens_per_second is None


def test_counted_tokens_in_a_single_chunk_have_no_latency():
    assert timing(101.0, output_tokens=5).inter_token_latency is None


def test_chunks_that_arrive_in_one_moment_have_no_rate():
    found = timing(101.0, 101.0, output_tokens=2)
    assert found.inter_token_latency.mean == 0.0
    assert found.chunks_per_second is None
    assert found.tokens_per_second is None


@pytest.mark.parametrize("gap", [0.000_001, 1 / 12917, 0.000_19])
def test_a_burst_has_no_rate(gap):
    found = timing(*(102.0 + gap * count for count in range(50)), output_tokens=50)
    assert (found.tokens_per_second, found.chunks_per_second) == (None, None)
    assert found.inter_token_latency.mean == pytest.approx(gap, rel=1e-3)


def test_the_fastest_models_have_a_rate():
    found = timing(*(102.0 + 0.000_3 * count for count in range(50)), output_tokens=50)
    assert found.tokens_per_second == pytest.approx(3333, rel=0.01)


@pytest.mark.parametrize(
    ("waited", "rate"), [(None, 10.0), (0.49, 10.0), (0.25, 10.0), (0.2, None), (0.0, None)]
)
def test_a_reader_that_was_slower_than_the_server_has_no_rate(waited, rate):
    found = timing(100.5, 100.6, 100.7, 100.8, 100.9, 101.0, output_tokens=6, waited=waited)
    assert found.tokens_per_second == (None if rate is None else pytest.approx(rate))
    assert found.chunks_per_second == (None if rate is None else pytest.approx(rate))


def test_percentiles_interpolate_between_the_nearest_values():
    found = timing(0.0, 1.0, 3.0, 6.0, 10.0, start=0.0).inter_token_latency
    assert found.p50 == pytest.approx(2.5)
    assert found.p99 == pytest.approx(3.97)


@given(st.lists(st.floats(0, 1000, allow_nan=False), min_size=2, max_size=30))
def test_the_median_is_that_of_the_statistics_module(moments):
    moments.sort()
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    found = timing(*moments, start=0.0).inter_token_latency
    assert found.p50 == pytest.approx(statistics.median(gaps))
    assert found.p50 <= found.p99 <= max(gaps) + 1e-9


def test_elapsed_counts_from_the_start():
    assert Stopwatch(100.0).elapsed(102.5) == 2.5
