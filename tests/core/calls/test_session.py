"""What all streams share, whatever they carry; the tests of the sessions for texts and for arrays have the details."""

from __future__ import annotations

import pytest
from core.replies import drive

from nupic_client._core.calls.options import CallOptions
from nupic_client._core.calls.session import StreamSession
from nupic_client._core.calls.stream_state import State
from nupic_client.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    StreamClosedError,
    StreamConsumedError,
)


class Numbers:
    """A decoder of numbers; 0 is the last one."""

    stopped_early = False

    def __init__(self):
        self.finished = self.complete = False


class NumberSession(StreamSession[int]):
    """A stream of numbers."""

    __slots__ = ("count",)

    _nothing = 0
    _content = "numbers"
    _consumed_words = "read"
    _closed_words = "closed"
    _client_closed_words = "client closed"
    message = "request"

    def __init__(self, **options):
        on_end = options.pop("on_end", None)
        super().__init__(
            CallOptions().override({"timeout": 10.0} | options),
            model="m",
            target="host:8001",
            request_id="r1",
            bearer=None,
            start=100.0,
            on_end=on_end,
        )
        self.count = 0
        self._decoder = self._new_decoder()

    items = property(lambda self: self.count)

    def receive(self, response, now):
        self.deadlines.responded = True
        self._decoder.finished = self._decoder.complete = not response
        self.count += bool(response)
        return response

    def ended(self, now):
        self._close(State.FINISHED, now)
        return 0

    def _new_decoder(self):
        return Numbers()

    def _amount(self):
        return f"{self.count} numbers" if self.count else ""

    def _log(self):
        pass


def test_a_stream_that_is_read_to_its_end_is_finished_and_says_so_once():
    ends = []
    session = NumberSession(on_end=ends.append)
    assert [session.receive(number, 101.0) for number in (3, 0)] == [3, 0]
    assert session.answered
    session.ended(102.0)
    assert (session.finished, session.consumed(), ends) == (True, 0, [session])
    with pytest.raises(StreamConsumedError, match="read"):
        session.check_unread()


def test_a_stream_that_is_left_is_closed():
    session = NumberSession()
    session.cancelled(101.0)
    with pytest.raises(StreamClosedError, match=r"^closed$"):
        session.check_running()


def test_a_stream_whose_client_was_closed_says_that():
    session = NumberSession()
    session.cancelled(101.0, client_closed=True)
    with pytest.raises(StreamClosedError, match="client closed"):
        session.check_running()


def test_an_error_has_the_facts_and_is_raised_again():
    session = NumberSession()
    session.receive(3, 101.0)
    error = session.failed(InferenceError("exploded", retryable=True), 102.0)
    assert (error.model, error.target, error.request_id, error.retryable) == ("m", "host:8001", "r1", False)
    assert session.failure is error
    with pytest.raises(InferenceError) as caught:
        session.check_running()
    assert caught.value is error


def test_a_failure_before_anything_came_may_be_sent_again():
    session = NumberSession(max_retries=1)
    gone = ConnectionFailedError("cannot reach the server: gone", retryable=True)
    assert session.broken(gone, 101.0) is gone
    assert session.running
    assert 0 < session.retry(gone, 101.0, 0.5) < 1
    assert session.attempt == 2
    assert len(session.broken(gone, 102.0).attempts) == 2
    assert not session.running


def test_a_failure_after_something_came_is_final_and_says_how_much():
    session = NumberSession()
    session.receive(3, 101.0)
    error = session.broken(ConnectionFailedError("cannot reach the server: gone", retryable=True), 102.0)
    assert error.message == "the connection broke after 1 numbers: gone"
    assert not session.running


def test_a_deadline_says_that_nothing_came():
    error = NumberSession().broken(DeadlineExceededError("late"), 110.0)
    assert error.message.endswith("within the timeout of 10 s: no numbers had come after 10.0 s")


def test_a_failure_after_the_last_word_is_none():
    session = NumberSession()
    session.receive(0, 101.0)
    assert session.broken(ConnectionFailedError("gone"), 102.0) is None
    assert session.finished


def test_a_call_is_left_alone_for_a_while_where_its_end_is_near():
    running, left, complete = NumberSession(), NumberSession(), NumberSession()
    left.receive(3, 101.0)
    left.cancelled(102.0)
    complete.receive(0, 101.0)
    assert running.patience == 0.0
    assert 0.0 < left.patience < complete.patience


def test_it_is_signed_before_each_attempt():
    assert drive(NumberSession(metadata={"a": "1"}).sign()) == ([], (("a", "1"),))
