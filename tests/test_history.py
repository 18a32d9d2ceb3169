from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._history import estimate_tokens, trimmed
from nupic_client.messages import assistant, system, user

FRONT = [system("s")]
HISTORY = [user("u1"), assistant("a1"), user("u2"), assistant("a2")]
QUESTION = user("q")


def fit(budget):
    """Trim with messages of one token each, which cost nine with what stands around them."""
    return trimmed(FRONT, HISTORY, [QUESTION], budget, lambda _: 1)


def test_what_fits_is_kept():
    assert fit(6 * 9) == [*FRONT, *HISTORY, QUESTION]


def test_the_oldest_exchange_is_left_out_as_a_whole():
    assert fit(6 * 9 - 1) == fit(4 * 9) == [*FRONT, *HISTORY[2:], QUESTION]


def test_system_prompt_and_question_are_always_kept():
    assert fit(0) == [*FRONT, QUESTION]


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("€", 1)])
def test_a_token_is_three_bytes(text, tokens):
    assert estimate_tokens(text) == tokens


@given(st.lists(st.sampled_from([user("u"), assistant("a")]), max_size=8), st.integers(0, 120))
def test_what_is_kept_is_the_end_and_begins_with_a_question(history, budget):
    kept = trimmed([], history, [QUESTION], budget, lambda _: 1)[:-1]
    assert kept == history[len(history) - len(kept) :]
    assert not kept or kept[0].role == "user"
    assert not kept or 9 * (len(kept) + 1) <= budget
