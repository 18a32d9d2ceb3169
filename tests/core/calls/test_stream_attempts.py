"""The attempts of a stream: their servers and places, how long they may take, and how they ended."""

from __future__ import annotations

import pytest
from core.replies import chunk, last
from core.replies import session_of as session

from nupic_client._core.calls.flows import Attempts
from nupic_client.attempts import Attempt
from nupic_client.errors import ConnectionFailedError, DeadlineExceededError, StreamClosedError
from nupic_client.timeouts import Timeouts


def read(running, *, end=True):
    """Let the text come, and its end."""
    running.receive(chunk("text"), 101.0)
    if end:
        running.receive(last(), 102.0)
        running.ended(103.0)


GONE = ConnectionFailedError("gone", status="UNAVAILABLE", retryable=True)


class Place:
    """Writes down what it is told."""

    def __init__(self, address="a:1", *, elsewhere=False):
        self.address = address
        self.elsewhere = elsewhere
        self.told = []

    def failed(self, error, tried):
        self.told.append(("failed", type(error).__name__, [*tried]))
        return error.with_facts(elsewhere=True) if self.elsewhere else error

    def answered(self, first_response=None):
        self.told.append(("answered", first_response))

    def release(self):
        self.told.append("released")

    def drop(self, *, answered, first_response):
        self.told.append(("dropped", answered, first_response))


def placed(place):
    running = session()
    running.place(place)
    return running


def test_a_stream_names_its_server():
    assert placed(Place("b:2")).target == "b:2"


def test_the_end_of_a_stream_gives_its_place_back():
    place = Place()
    running = placed(place)
    read(running)
    assert place.told == [("answered", None), ("answered", 101.0), "released"]


def test_so_does_leaving_it():
    place = Place()
    running = placed(place)
    running.cancelled(101.0)
    running.cancelled(102.0)
    assert place.told == ["released"]


def test_destructors_give_it_back_later():
    place, later = Place(), []
    placed(place).cancelled(101.0, later.append)
    assert place.told == [("dropped", False, None)]


def test_what_is_left_in_the_middle_of_its_text_was_answered():
    place = Place()
    running = placed(place)
    read(running, end=False)
    running.cancelled(102.0)
    assert place.told == [("answered", None), ("answered", 101.0), "released"]


def test_a_place_that_comes_after_the_end_is_given_back():
    """Another thread left the stream while the next attempt waited for its server."""
    running = session()
    running.cancelled(101.0)
    place = Place()
    running.place(place)
    assert place.told == ["released"]


def test_a_failure_elsewhere_is_no_failure_yet_and_needs_no_pause():
    place = Place(elsewhere=True)
    running = placed(place)
    error = running.broken(GONE.with_facts(retryable=False, target="a:1"), 101.0)
    assert running.running
    assert running.retry(error, 101.0, 0.5) == 0.0
    assert place.told == [("failed", "ConnectionFailedError", []), "released"]
    running.place(Place("b:2"))
    assert (running.tried, running.target, running.attempt) == (["a:1"], "b:2", 2)


def test_a_failure_after_something_has_come_is_the_end():
    running = placed(Place(elsewhere=True))
    read(running, end=False)
    error = running.broken(GONE, 102.0)
    assert not running.running
    assert [attempt.endpoint for attempt in error.attempts] == ["a:1"]


def test_who_waits_for_a_server_in_vain_is_told_which_deadline_that_was():
    running = placed(Place(""))
    error = running.not_placed(105.0)
    assert isinstance(error, DeadlineExceededError)
    assert "no server had room for this request" in str(error)
    assert (error.attempts, error.deadline, error.retryable) == ((), "total", True)


def test_who_leaves_the_queue_is_told_that():
    running = placed(Place(""))
    running.cancelled(101.0)
    with pytest.raises(StreamClosedError):
        running.check_running()


def test_a_request_waits_for_a_server_as_long_as_for_its_first_response():
    running = session(timeout=Timeouts(total=10.0, first_token=4.0))
    assert (running.patience_in_queue(101.0), running.remaining(101.0)) == (3.0, 9.0)
    assert (running.patience_in_queue(111.0), running.remaining(111.0)) == (0.0, 0.0)
    endless = session(timeout=Timeouts(total=None, first_token=None))
    assert (endless.patience_in_queue(111.0), endless.remaining(111.0)) == (None, None)


def test_the_attempts_of_a_unary_call_are_those_of_the_stream_that_it_stands_for():
    running, attempts = session(), Attempts(100.0, "m")
    attempts.note(GONE.with_facts(target="a:1"), 102.0)
    running.took(attempts, failed=True)
    assert (running.unary, running.attempts[:-1], running.attempt) == (True, (), 1)
    running.took(attempts)
    assert running.failed_attempts == (Attempt("a:1", "UNAVAILABLE", 2.0),)
    assert running.attempt == 2
