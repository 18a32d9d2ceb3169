"""Whether a request is sent again, and when."""

from __future__ import annotations

import pytest
from core.replies import ask, chunk, error, last, session_of
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.calls.flows import DrawJitter, Invoke, Sleep, with_deadline
from nupic_client._core.calls.retry import next_pause
from nupic_client._grpc.channel import channel_options
from nupic_client.config import ClientConfig
from nupic_client.errors import (
    ConfigurationError,
    ConnectionFailedError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
)
from nupic_client.timeouts import NO_RETRIES, RetryPolicy, Timeouts

POLICY = RetryPolicy(max_retries=3, initial_backoff=1.0, max_backoff=3.0)


def refused(**facts):
    return ConnectionFailedError("refused", retryable=True, **facts)


def full(**facts):
    return OverloadedError("full", retryable=True, **facts)


def pause(attempt, jitter, *, failure=None, left=None, policy=POLICY):
    return next_pause(policy, failure or full(), attempt=attempt, left=left, jitter=jitter)


def test_the_longest_pause_doubles_up_to_the_maximum():
    assert [pause(attempt, 0.5) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 1.5, None]


@given(st.integers(1, 3), st.floats(0, 1, exclude_max=True))
def test_the_jitter_is_full(attempt, jitter):
    assert 0 <= pause(attempt, jitter) < 3.0 + 1e-9


def test_a_failed_connection_gets_at_least_half_of_the_pause():
    assert [pause(attempt, 0.0, failure=refused()) for attempt in (1, 2, 3)] == [0.5, 1.0, 1.5]
    assert pause(1, 0.5, failure=refused()) == 0.75


def test_the_default_retries_outlast_the_pause_between_two_attempts_to_connect():
    options = dict(channel_options(ClientConfig.create("host:1", environ={})))
    longest = options["grpc.max_reconnect_backoff_ms"] / 1000 * 1.2  # gRPC's jitter
    shortest = sum(pause(attempt, 0.0, failure=refused(), policy=RetryPolicy()) for attempt in (1, 2))
    assert longest < shortest


def test_what_cannot_help_is_not_tried():
    assert pause(1, 0.5, failure=ConnectionFailedError("no", retryable=False)) is None
    assert pause(1, 0.5, policy=NO_RETRIES) is None


def test_a_pause_never_reaches_past_the_deadline():
    assert pause(1, 0.9, left=0.8) is None
    assert pause(1, 0.7, left=0.8) == 0.7


def test_the_server_may_say_when():
    assert pause(1, 0.5, failure=refused(retry_after=2.5)) == 2.5
    assert pause(1, 0.5, failure=refused(retry_after=-1.0)) is None


@pytest.mark.parametrize("bad", [-1, 101, 1.5, True, "2"])
def test_bad_numbers_of_retries_are_refused(bad):
    with pytest.raises(ConfigurationError, match="max_retries"):
        RetryPolicy.of(bad)


@pytest.mark.parametrize("name", ["initial_backoff", "max_backoff"])
@pytest.mark.parametrize("bad", [0, -1, None, "1", float("inf"), float("nan")])
def test_bad_pauses_are_refused(name, bad):
    with pytest.raises(ConfigurationError, match=f"{name} must be a positive number of seconds, not"):
        RetryPolicy(**{name: bad})


def test_a_number_none_and_a_policy_are_accepted():
    assert RetryPolicy.of(5).max_retries == 5
    assert RetryPolicy.of(None) == RetryPolicy()
    assert RetryPolicy.of(POLICY) is POLICY


def test_a_number_replaces_the_total_timeout_only():
    base = Timeouts(total=10, first_token=3, between_tokens=2)
    assert base.override(5) == Timeouts(total=5, first_token=3, between_tokens=2)
    assert base.override(Timeouts()) == Timeouts()


# In a session

SHUTTING_DOWN = "Request for unknown model: 'llm' has no available versions"


def session(**changes):
    return session_of(**({"max_retries": POLICY} | changes))


def test_a_retryable_error_before_anything_came_leaves_the_session_running():
    running = session()
    with pytest.raises(ModelUnavailableError) as caught:
        running.receive(error(SHUTTING_DOWN), 101.0)
    assert running.running
    assert running.retry(caught.value, 101.0, 0.5) == 0.5
    assert running.receive(chunk("text"), 102.0) == "text"
    running.receive(last(), 103.0)
    running.ended(103.0)
    assert (running.result().text, len(running.result().attempts)) == ("text", 2)


def test_after_the_last_try_the_error_tells_how_many_there_were():
    running = session()
    for attempt in range(3):
        failure = running.broken(refused(), 101.0)
        assert running.running, attempt
        running.retry(failure, 101.0, 0.0)
    final = running.broken(refused(), 101.0)
    assert not running.running
    assert (len(final.attempts), final.retryable) == (4, True)


def test_a_stream_that_broke_after_a_response_is_never_sent_again():
    running = session()
    running.receive(chunk("text"), 101.0)
    failure = running.broken(refused(), 102.0)
    assert not running.running
    assert (failure.partial_text, failure.retryable, len(failure.attempts)) == ("text", False, 1)


def test_the_models_own_failure_is_not_sent_again():
    running = session()
    with pytest.raises(InferenceError):
        running.receive(error("engine exploded"), 101.0)
    assert not running.running


def test_a_pause_that_does_not_fit_ends_the_session():
    running = session(timeout=2.0)
    failure = running.broken(refused(retry_after=5.0), 101.0)
    with pytest.raises(ConnectionFailedError):
        running.retry(failure, 101.0, 0.5)
    assert not running.running


# In a flow of calls


def call():
    return (yield Invoke("ServerReady", None))


def test_a_call_is_made_again():
    flow = with_deadline(call(), 10.0, POLICY)
    commands, result = ask(flow, refused(), 0.5, None, "answer", clock=[100.0, 101.0, 102.0, 103.0])
    kinds = [type(command) for command in commands]
    assert kinds == [Invoke, DrawJitter, Sleep, Invoke]
    assert commands[2].seconds == 0.75
    assert [command.timeout for command in commands if isinstance(command, Invoke)] == [9.0, 7.0]
    assert result == "answer"


def test_a_call_is_not_made_again_where_that_is_switched_off():
    with pytest.raises(ConnectionFailedError) as caught:
        ask(with_deadline(call(), 10.0), refused())
    assert len(caught.value.attempts) == 1


def test_a_call_that_fails_in_the_end_tells_how_often_it_was_made():
    with pytest.raises(ConnectionFailedError) as caught:
        ask(with_deadline(call(), None, RetryPolicy(max_retries=1)), refused(), 0.0, None, refused())
    assert len(caught.value.attempts) == 2
