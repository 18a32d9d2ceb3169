"""The questions before a stream: their deadline is that of the first response, and their errors are whole."""

from __future__ import annotations

import logging

import pytest
from core.replies import ask

from nupic_client._core.calls.flows import Invoke
from nupic_client._core.calls.opening import ask_first
from nupic_client._core.calls.options import CallOptions
from nupic_client.errors import ConnectionFailedError, DeadlineExceededError, ModelUnavailableError
from nupic_client.timeouts import Timeouts


def question():
    return (yield Invoke("ModelConfig", None))


def asked(*replies, clock=(), **options):
    flow = ask_first(
        question(), CallOptions().override(options), model="m", target="host:8001", request_id="r1"
    )
    return ask(flow, *replies, clock=clock)


def test_the_answer_is_passed_on():
    (call,), answer = asked("config", timeout=Timeouts(first_token=5, connect=2))
    assert (call.timeout, answer) == (7.0, "config")


def test_the_total_timeout_may_be_the_shorter_one():
    (call,), _ = asked("config", timeout=Timeouts(total=3, first_token=5))
    assert call.timeout == 3.0


def test_without_a_limit_for_the_first_response_the_total_one_counts():
    (call,), _ = asked("config", timeout=Timeouts(total=None, first_token=None))
    assert call.timeout is None


def test_a_late_answer_says_which_timeout_it_was():
    with pytest.raises(DeadlineExceededError) as caught:
        asked(DeadlineExceededError("late"), timeout=Timeouts(first_token=5, connect=2))
    error = caught.value
    assert (error.deadline, error.limit, error.model, error.request_id) == ("first_token", 7.0, "m", "r1")
    assert "(first_token and connect timeouts)" in error.message


def test_a_question_is_asked_again_where_that_may_help():
    commands, _ = asked(ConnectionFailedError("gone", retryable=True), 0.5, None, "config")
    assert len(commands) == 4


def test_a_failure_is_whole_and_logged(caplog):
    with (
        caplog.at_level(logging.INFO, "nupic_client"),
        pytest.raises(ModelUnavailableError, match="host:8001"),
    ):
        asked(ModelUnavailableError("no such model"))
    assert "model=m request=r1 outcome=ModelUnavailableError" in caplog.text
