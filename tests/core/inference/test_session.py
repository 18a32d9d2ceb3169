"""One inference with any number of responses, from its request to its end; `tests/core/calls` has what all streams share."""

from __future__ import annotations

import logging

import pytest
from core.inference.test_stream_decoder import number
from core.replies import array_signature, drive, error, inference_request, last

from nupic_client._core.calls.auth import Bearer
from nupic_client._core.calls.flows import FetchToken
from nupic_client._core.inference.session import InferenceSession
from nupic_client.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceError,
    RequestRejectedError,
    StreamClosedError,
    StreamConsumedError,
)


def session(*, bearer=None, on_end=None, forget=None, **options):
    request = inference_request(streamed=True, **{"timeout": 10.0, "request_id": "r1"} | options)
    codec = request.codec(array_signature({}, decoupled=True))
    return InferenceSession(
        request, codec, b"message", 100.0, bearer=bearer, on_end=on_end, on_signature_changed=forget
    )


def test_results_are_given_out_one_by_one_and_counted():
    running = session()
    (result,) = running.receive(number(4), 101.0)
    assert result["y"].tolist() == [4]
    assert (running.message, running.items, running.running) == (b"message", 1, True)


def test_a_result_without_outputs_is_given_out_too():
    given = session().receive(number(4, name="y"), 101.0)
    assert given  # a tuple is true, whatever its result is


def test_the_end_is_nothing():
    ends = []
    running = session(on_end=ends.append)
    assert running.receive(last(), 101.0) == ()
    assert running.answered
    assert running.ended(102.0) == ()
    assert (running.finished, running.consumed(), ends) == (True, (), [running])
    with pytest.raises(StreamConsumedError, match="given out as they came"):
        running.check_unread()


def test_an_error_has_the_facts():
    running = session()
    running.receive(number(4), 101.0)
    with pytest.raises(InferenceError) as caught:
        running.receive(error("exploded"), 102.0)
    shown = caught.value
    assert (shown.model, shown.target, shown.request_id, shown.endpoint) == (
        "model",
        "host:8001",
        "r1",
        "host:8001",
    )
    assert running.failure is shown


def test_a_stream_that_was_cut_short_is_incomplete():
    running = session()
    running.receive(number(4), 101.0)
    with pytest.raises(IncompleteStreamError):
        running.ended(102.0)


def test_a_broken_connection_says_how_much_had_come():
    running = session()
    running.receive(number(4), 101.0)
    assert running.broken(ConnectionFailedError("cannot reach the server: gone"), 102.0).message == (
        "the connection broke after 1 result: gone"
    )


def test_a_deadline_says_how_much_had_come():
    running = session()
    running.receive(number(4), 101.0)
    running.receive(number(4), 102.0)
    late = running.broken(DeadlineExceededError("late"), 110.0)
    assert late.message.endswith("10 s: 2 results had come after 10.0 s")
    assert late.chunks == 2
    assert (
        session()
        .broken(DeadlineExceededError("late"), 110.0)
        .message.endswith("no results had come after 10.0 s")
    )


def test_it_is_sent_again_only_before_the_first_response():
    gone = ConnectionFailedError("gone", retryable=True)
    first = session(max_retries=1)
    assert first.broken(gone, 101.0) is gone
    first.retry(gone, 101.0, 0.5)
    assert first.receive(number(4), 102.0)[0]["y"].tolist() == [4]
    first.broken(gone, 103.0)
    assert not first.running
    assert len(first.failure.attempts) == 2
    assert not first.failure.retryable


def test_a_stream_that_was_left_says_so():
    left = session()
    left.cancelled(101.0)
    with pytest.raises(StreamClosedError, match=r"use next\(stream\)"):
        left.check_running()


def test_a_refusal_forgets_the_signature():
    forgotten = []
    session(forget=lambda: forgotten.append(True)).broken(RequestRejectedError("changed"), 101.0)
    assert forgotten


def test_it_is_signed():
    commands, metadata = drive(session(bearer=Bearer(lambda: "token")).sign(), "token")
    assert isinstance(commands[0], FetchToken)
    assert ("authorization", "Bearer token") in metadata


def test_its_outcome_is_logged(caplog):
    with caplog.at_level(logging.INFO, "nupic_client"):
        done = session()
        done.receive(number(4), 101.5)
        done.receive(last(), 102.0)
        done.ended(103.0)
    assert (
        "model=model request=r1 outcome=finished total=3.000s ttft=1.500s tokens=- attempts=1" in caplog.text
    )
