"""The words about how far a stream had come when it failed."""

from __future__ import annotations

from nupic_client._core.calls.progress import cut_short, late
from nupic_client.errors import ConnectionFailedError, DeadlineExceededError


def test_a_connection_that_broke_after_something_was_reached():
    error = cut_short(ConnectionFailedError("cannot reach the server: reset by peer"), "3 results")
    assert error.message == "the connection broke after 3 results: reset by peer"


def test_other_words_about_a_connection_stay():
    error = cut_short(ConnectionFailedError("the gateway does not reach the server"), "3 results")
    assert error.message == "the gateway does not reach the server; 3 results had come before"


def test_a_total_timeout_is_the_one_of_the_call():
    error = late(DeadlineExceededError("late"), "no results", chunks=0, elapsed=2.04, total=2.0)
    assert error.message == (
        "the answer was not complete within the timeout of 2 s: no results had come after 2.0 s"
    )
    assert (error.limit, error.elapsed, error.chunks) == (2.0, 2.04, 0)


def test_another_timeout_keeps_its_sentence():
    silent = DeadlineExceededError("silent", deadline="between_tokens", limit=1.0)
    error = late(silent, "4 results", chunks=4, elapsed=3.0, total=9.0)
    assert (error.message, error.limit, error.chunks) == (
        "silent: 4 results had come after 3.0 s",
        1.0,
        4,
    )


def test_a_deadline_that_the_server_set_keeps_its_words_and_has_no_limit():
    error = late(DeadlineExceededError("its own", limit=5.0), "4 results", chunks=4, elapsed=3.0, total=None)
    assert (error.message, error.limit, error.elapsed, error.chunks) == ("its own", None, 3.0, 4)
