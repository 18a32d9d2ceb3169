"""The states of a stream, and what each of them says to a reader."""

from __future__ import annotations

import logging

import pytest

from nupic_client._core.calls.stream_state import State, StreamState
from nupic_client.errors import InferenceError, StreamClosedError, StreamConsumedError


class Letters(StreamState[str]):
    """A stream of letters."""

    __slots__ = ("answered", "logged")

    _nothing = ""
    _consumed_words = "read"
    _closed_words = "closed"
    _client_closed_words = "client closed"

    def __init__(self, on_end=None):
        super().__init__(100.0, on_end)
        self.answered = False
        self.logged = []

    def _log(self):
        self.logged.append(self._state.value)

    def end(self, state=State.FINISHED, error=None):
        self._error = error
        self._close(state, 101.0)


def test_a_running_stream_may_be_read():
    running = Letters()
    running.check_running()
    running.check_unread()
    assert (running.running, running.finished, running.failure) == (True, False, None)


def test_it_ends_once(caplog):
    ends = []
    stream = Letters(ends.append)
    with caplog.at_level(logging.INFO, "nupic_client"):
        stream.end()
        stream.end(State.FAILED)
        stream.cancelled(102.0)
    assert (stream.finished, ends, stream.logged) == (True, [stream], ["finished"])


def test_its_end_is_delivered_once():
    stream = Letters()
    stream.end()
    stream.check_unread()
    assert stream.consumed() == ""
    stream.check_running()
    with pytest.raises(StreamConsumedError, match="read"):
        stream.check_unread()


@pytest.mark.parametrize(("client_closed", "words"), [(False, r"^closed$"), (True, "client closed")])
def test_a_stream_that_was_left_says_who_did_it(client_closed, words):
    stream = Letters()
    stream.cancelled(101.0, client_closed=client_closed)
    for check in (stream.check_running, stream.check_unread):
        with pytest.raises(StreamClosedError, match=words):
            check()


def test_leaving_a_complete_answer_is_its_end():
    stream = Letters()
    stream.answered = True
    stream.cancelled(101.0)
    assert stream.finished


def test_a_failed_stream_raises_its_error_again():
    stream = Letters()
    error = InferenceError("exploded")
    stream.end(State.FAILED, error)
    for check in (stream.check_running, stream.check_unread):
        with pytest.raises(InferenceError) as caught:
            check()
        assert caught.value is error


def test_a_destructor_logs_later(caplog):
    later = []
    stream = Letters()
    with caplog.at_level(logging.INFO, "nupic_client"):
        stream.cancelled(101.0, later.append)
    assert stream.logged == []
    later[0]()
    assert stream.logged == ["cancelled"]
