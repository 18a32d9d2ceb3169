"""The limit halves once for what was sent together, and grows slowly again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.calls.adaptive_limit import AdaptiveLimit


def test_it_is_halved_once_for_all_that_were_sent_before():
    limit = AdaptiveLimit(64)
    sent = limit.rounds
    for _ in range(64):
        limit.refused(sent)
    assert limit.now == 32
    limit.refused(limit.rounds)
    assert limit.now == 16
    limit.refused(sent)
    assert limit.now == 16


def test_it_is_never_below_one():
    limit = AdaptiveLimit(5)
    found = []
    for _ in range(5):
        limit.refused(limit.rounds)
        found.append(limit.now)
    assert found == [2, 1, 1, 1, 1]


def test_it_grows_by_one_with_each_window_of_answers_and_not_beyond_its_beginning():
    limit = AdaptiveLimit(4)
    limit.refused(limit.rounds)
    found = []
    for _ in range(8):
        limit.answered()
        found.append(limit.now)
    assert found == [2, 3, 3, 3, 4, 4, 4, 4]


def test_a_refusal_begins_the_count_of_answers_anew():
    limit = AdaptiveLimit(4)
    sent = limit.rounds
    limit.refused(sent)
    limit.answered()
    limit.refused(sent)
    limit.answered()
    assert limit.now == 2
    limit.answered()
    assert limit.now == 3


@given(st.integers(1, 100), st.lists(st.booleans(), max_size=300))
def test_it_stays_between_one_and_its_beginning(most, events):
    limit = AdaptiveLimit(most)
    for refused in events:
        if refused:
            limit.refused(limit.rounds)
        else:
            limit.answered()
        assert 1 <= limit.now <= most
