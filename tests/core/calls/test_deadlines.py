"""When a silent server is given up on. No clock runs here: readings are handed in."""

from __future__ import annotations

import pytest

from nupic_client._core.calls.deadlines import LOOK_AGAIN, Deadlines


def deadlines(first=4.0, between=2.0, start=100.0):
    return Deadlines(first, between, start)


def test_the_first_response_has_its_own_deadline():
    watched = deadlines()
    watched.waiting = 100.0
    assert watched.check(103.9) == 104.0
    assert watched.check(101.0) == 103.0  # the next response may have to come two seconds from now
    assert watched.expired is None
    assert watched.check(104.0) is None
    assert watched.expired == "first_token"
    assert (watched.error().deadline, watched.error().limit) == ("first_token", 4.0)


def test_after_the_first_response_silence_counts_from_the_beginning_of_the_wait():
    watched = deadlines()
    watched.responded = True
    watched.waiting = 110.0
    assert watched.check(111.0) == 112.0
    assert watched.check(112.0) is None
    assert watched.expired == "between_tokens"
    assert "fell silent" in str(watched.error())


def test_nothing_expires_while_nobody_waits():
    watched = deadlines()
    assert watched.check(1000.0) == 1000.0 + 2.0
    watched.responded = True
    assert watched.check(2000.0) == 2000.0 + 2.0
    assert watched.expired is None


def test_a_reader_that_comes_late_has_a_moment_to_find_what_is_there():
    watched = deadlines()
    watched.waiting = 200.0
    assert watched.check(200.5) == 201.0
    assert watched.check(201.0) is None


def test_a_request_that_is_sent_again_starts_anew():
    watched = deadlines()
    watched.waiting = 100.0
    watched.check(104.0)
    watched.sent(110.0)
    watched.waiting = 110.0
    assert watched.expired is None
    assert watched.check(113.0) == 114.0


def test_looks_are_never_further_apart_than_the_bound():
    watched = Deadlines(300.0, 120.0, 0.0)
    watched.waiting = 0.0
    assert watched.check(1.0) == 1.0 + LOOK_AGAIN


@pytest.mark.parametrize(
    ("first", "between", "watched"), [(None, None, False), (1.0, None, True), (None, 1.0, True)]
)
def test_without_limits_nobody_needs_to_look(first, between, watched):
    assert Deadlines(first, between, 0.0).watched is watched


def test_a_missing_limit_never_passes():
    watched = Deadlines(None, 1.0, 0.0)
    watched.waiting = 0.0
    assert watched.check(10**6) == 10**6 + 1.0
    assert watched.expired is None
