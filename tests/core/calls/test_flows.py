"""Flows: calls within one deadline, calls performed by other flows, and errors that get the facts of their call."""

from __future__ import annotations

import pytest
from core.replies import ask, drive
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.calls.flows import (
    Attempts,
    DrawJitter,
    FetchToken,
    Invoke,
    ReadClock,
    Sleep,
    completing,
    intercept_calls,
    with_deadline,
)
from nupic_client.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    OverloadedError,
    RequestError,
)
from nupic_client.timeouts import RetryPolicy

METADATA = (("authorization", "Bearer secret"),)
POLICY = RetryPolicy(max_retries=2, initial_backoff=1.0, max_backoff=3.0)


def call(method="ServerReady", **fields):
    return (yield Invoke(method, None, **fields))


def two_calls():
    first = yield Invoke("ServerLive", None)
    second = yield Invoke("ServerReady", None)
    return first, second


def busy(**facts):
    return OverloadedError("busy", retryable=True, **facts)


def invokes(commands):
    return [command for command in commands if isinstance(command, Invoke)]


# Commands


def test_the_repr_of_a_call_shows_neither_metadata_nor_request():
    shown = repr(Invoke("ServerLive", "the prompt", 1.0, METADATA))
    assert "secret" not in shown
    assert "prompt" not in shown


def test_a_call_with_other_metadata_is_otherwise_the_same():
    invoke = Invoke("ServerLive", "request", 1.0, (), Attempts(100.0))
    other = invoke.with_metadata(METADATA).with_timeout(2.0)
    other.attempts.note(busy(), 101.0)
    assert other == Invoke("ServerLive", "request", 2.0, METADATA)
    assert (invoke.timeout, invoke.metadata, invoke.attempts.count) == (1.0, (), 2)


# Completing errors


def test_an_error_gets_the_facts_that_it_lacks():
    with pytest.raises(InferenceError) as caught:
        drive(
            completing(call(), model="llm", target="host:1", request_id="r1"),
            InferenceError("x", model="own"),
        )
    error = caught.value
    assert (error.model, error.target, error.request_id) == ("own", "host:1", "r1")


def test_a_completed_error_keeps_its_cause():
    given = InferenceError("x")
    given.__cause__ = RuntimeError("of gRPC")
    with pytest.raises(InferenceError) as caught:
        drive(completing(call(), model="llm"), given)
    assert caught.value.__cause__ is given.__cause__
    assert caught.value.target == ""


def test_results_and_other_errors_are_left_alone():
    assert drive(completing(call(), model="llm"), "answer")[1] == "answer"
    with pytest.raises(LookupError):
        drive(completing(call(), model="llm"), LookupError())


# Calls performed by another flow


def twice(invoke):
    first = yield invoke
    second = yield Sleep(first)
    return first, second


def test_each_call_is_performed_by_the_other_flow():
    commands, result = drive(intercept_calls(two_calls(), twice), 1, 2, 3, 4)
    assert commands == [Invoke("ServerLive", None), Sleep(1), Invoke("ServerReady", None), Sleep(3)]
    assert result == ((1, 2), (3, 4))


@pytest.mark.parametrize("command", [Sleep(1.0), ReadClock(), DrawJitter(), FetchToken(print)])
def test_what_is_no_call_goes_through(command):
    def flow():
        return (yield command)

    assert drive(intercept_calls(flow(), twice), "reply") == ([command], "reply")


def test_errors_of_a_call_and_of_another_command_reach_the_flow():
    def flow():
        errors = []
        for command in (Invoke("ServerLive", None), Sleep(1.0)):
            try:
                yield command
            except LookupError as error:
                errors.append(str(error))
        return errors

    _, errors = drive(intercept_calls(flow(), twice), LookupError("a"), LookupError("b"))
    assert errors == ["a", "b"]


def test_a_flow_without_commands_has_its_result():
    def flow():
        return 5
        yield

    assert drive(intercept_calls(flow(), twice)) == ([], 5)


# One deadline


def test_each_call_may_take_the_time_that_is_left():
    commands, result = ask(with_deadline(two_calls(), 10.0), 1, 2, clock=[100.0, 101.0, 104.5])
    assert [command.timeout for command in commands] == [9.0, 5.5]
    assert result == (1, 2)


def test_without_a_deadline_a_call_keeps_its_own_limit():
    commands, _ = ask(with_deadline(call(timeout=3.0), None), "answer")
    assert [command.timeout for command in commands] == [3.0]


def test_a_call_for_which_no_time_is_left_gets_the_shortest():
    commands, _ = ask(with_deadline(two_calls(), 10.0), 1, 2, clock=[100.0, 101.0, 110.5])
    assert commands[1].timeout == 0.001


def test_a_deadline_that_passes_tells_the_whole_limit_and_the_time_since_the_start():
    late = DeadlineExceededError("late", limit=4.0)
    late.__cause__ = RuntimeError("of gRPC")
    with pytest.raises(DeadlineExceededError) as caught:
        ask(with_deadline(two_calls(), 10.0), 1, late, clock=[100.0, 101.0, 106.0, 110.25])
    assert (caught.value.limit, caught.value.elapsed) == (10.0, 10.25)
    assert caught.value.__cause__ is late.__cause__


def test_a_deadline_of_the_servers_own_has_no_limit_of_ours():
    with pytest.raises(DeadlineExceededError) as caught:
        ask(with_deadline(call(), None), DeadlineExceededError("late", limit=4.0), clock=[100.0, 103.0])
    assert (caught.value.limit, caught.value.elapsed) == (None, 3.0)


# Calls made again


def test_a_call_is_counted_each_time_it_is_made_again():
    attempts = Attempts(100.0)
    flow = with_deadline(call(attempts=attempts), None, POLICY)
    commands, result = ask(flow, busy(), 0.5, None, busy(), 0.5, None, "answer")
    assert [command.seconds for command in commands if isinstance(command, Sleep)] == [0.5, 1.0]
    assert (result, attempts.count, len(invokes(commands))) == ("answer", 3, 3)


def test_the_time_for_the_next_try_is_what_is_left_after_the_pause():
    flow = with_deadline(call(), 10.0, POLICY)
    commands, _ = ask(flow, busy(), 0.5, None, "answer", clock=[100.0, 100.0, 103.0, 103.5])
    assert [command.timeout for command in invokes(commands)] == [10.0, 6.5]


def test_after_the_last_try_its_error_is_raised_with_their_number_and_its_cause():
    last = busy()
    last.__cause__ = RuntimeError("of gRPC")
    with pytest.raises(OverloadedError) as caught:
        ask(with_deadline(call(), None, POLICY), busy(), 0.0, None, busy(), 0.0, None, last)
    assert len(caught.value.attempts) == 3
    assert caught.value.__cause__ is last.__cause__


def test_a_call_that_cannot_succeed_is_not_made_again():
    with pytest.raises(ConnectionFailedError) as caught:
        ask(with_deadline(call(), None, POLICY), ConnectionFailedError("certificate", retryable=False))
    assert len(caught.value.attempts) == 1


def test_a_pause_that_reaches_past_the_deadline_is_not_waited_for():
    flow = with_deadline(call(), 10.0, POLICY)
    with pytest.raises(OverloadedError):
        ask(flow, busy(retry_after=2.0), 0.5, clock=[100.0, 100.0, 109.0])


def test_each_call_of_a_flow_has_tries_of_its_own():
    flow = with_deadline(two_calls(), None, RetryPolicy(max_retries=1, initial_backoff=1.0))
    commands, result = ask(flow, busy(), 0.0, None, 1, busy(), 0.0, None, 2)
    assert result == (1, 2)
    assert [command.method for command in invokes(commands)] == ["ServerLive"] * 2 + ["ServerReady"] * 2


@given(
    st.floats(0.1, 60), st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1, exclude_max=True)), max_size=8)
)
def test_no_pause_ever_reaches_past_the_deadline(timeout, tries):
    now, end = 100.0, 100.0 + timeout
    flow = with_deadline(call(), timeout, RetryPolicy(max_retries=50))
    waiting = list(tries)
    command = next(flow)
    try:
        while True:
            if isinstance(command, Invoke):
                assert command.timeout > 0
                if not waiting:
                    command = flow.send("answer")
                    continue
                now += min(waiting[0][0], command.timeout)
                command = flow.throw(busy())
            elif isinstance(command, Sleep):
                now += command.seconds
                assert now <= end
                command = flow.send(None)
            else:
                jitter = waiting.pop(0)[1] if isinstance(command, DrawJitter) else None
                command = flow.send(now if jitter is None else jitter)
    except (StopIteration, RequestError):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, ZeroDivisionError])
def test_whatever_is_raised_at_a_call_reaches_the_flow_at_once(error):
    """Also what is no `Exception`: a flow must not learn of its end from the garbage collector."""
    left = []

    def inner():
        try:
            yield Invoke("ModelReady", None)
        except BaseException as reached:
            left.append(type(reached))
            raise

    flow = with_deadline(inner(), None)
    next(flow)
    flow.send(0.0)
    flow.send(0.0)
    with pytest.raises(error) as caught:
        flow.throw(error())
    assert left == [error]
    assert caught.value.__traceback__ is not None
