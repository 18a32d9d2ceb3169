"""Observations: one end for each beginning, told at once or later, without what was said."""

from __future__ import annotations

import os

import pytest
from core.calls.observers import FACTS, Later

from nupic_client import FinishReason, SamplingParams
from nupic_client._core.calls import observation as module
from nupic_client._core.calls.flows import Attempts, ReadClock
from nupic_client._core.calls.observation import bare, observed, observing_failure
from nupic_client.errors import ConfigurationError, InferenceError


def drive(flow, *replies):
    """Run a flow to its end, with replies to its commands."""
    replies = [*replies]
    command = next(flow)
    while True:
        assert isinstance(command, ReadClock)
        try:
            command = flow.send(replies.pop(0))
        except StopIteration as stop:
            return stop.value


def no_commands(value=None, error=None):
    def make(observation):
        yield ReadClock()
        if error is not None:
            raise error
        return value

    return make


def test_a_flow_that_ends(told, watch):
    assert drive(observed(watch, no_commands("result"), **FACTS), 100.0, 101.0) == "result"
    ((info, outcome),) = told.ends
    assert told.starts == [info]
    assert (info.context, info.started, info.operation, info.model) == ("kept", 100.0, "infer", "m")
    assert (outcome.timing.total, outcome.error, outcome.cancelled) == (9.0, None, False)


def test_a_flow_that_fails(told, watch):
    error = InferenceError("broken", model="real", partial_text="said")
    with pytest.raises(InferenceError) as caught:
        drive(observed(watch, no_commands(error=error), **FACTS), 100.0, 101.0)
    assert caught.value is error
    ((_, outcome),) = told.ends
    assert (outcome.model, outcome.error.message, outcome.error.partial_text) == ("real", "broken", "")
    assert error.partial_text == "said"


@pytest.mark.parametrize(
    ("error", "later"), [(KeyboardInterrupt(), False), (GeneratorExit(), True), (SystemExit(), False)]
)
def test_a_flow_that_is_left(told, watch, error, later):
    flow = observed(watch, no_commands(), **FACTS, sampling=SamplingParams())
    next(flow)
    flow.send(100.0)
    with pytest.raises(type(error)):
        flow.throw(error)
    assert len(told.ends) == (0 if later else 1)
    for function in Later.submitted:
        function()
    ((_, outcome),) = told.ends
    assert (outcome.cancelled, outcome.finish_reason) == (True, FinishReason.CANCELLED)


def test_a_session_tells_of_its_end_itself(told, watch, monkeypatch):
    class Session:
        pass

    monkeypatch.setattr(module, "StreamState", Session)
    drive(observed(watch, no_commands(Session()), **FACTS), 100.0, 101.0)
    assert (len(told.starts), told.ends) == (1, [])


def test_what_comes_before_requests_is_told_of_if_it_fails(told, watch):
    drive(observing_failure(watch, no_commands("signature")(None), **FACTS), 100.0, 101.0)
    assert told.starts == []
    with pytest.raises(InferenceError):
        drive(observing_failure(watch, no_commands(error=InferenceError("no"))(None), **FACTS), 100.0, 101.0)
    assert len(told.starts) == len(told.ends) == 1
    assert told.starts[0].started == 100.0


def test_an_end_is_told_once(told, watch):
    observation = watch.begin(100.0, **FACTS)
    observation.finished()
    observation.failed(InferenceError("late"))
    observation.cancelled(dropped=True)
    watch.leave()
    assert len(told.ends) == 1
    assert Later.submitted == []


def test_attempts_of_a_call(told, watch):
    observation = watch.begin(100.0, **FACTS)
    attempts = Attempts(100.0, "real")
    observation.sent("real", attempts)
    attempts.note(InferenceError("no", target="host:2", status="UNAVAILABLE"), 103.0)
    observation.finished()
    ((_, outcome),) = told.ends
    assert outcome.model == "real"
    assert [(each.endpoint, each.status, each.seconds) for each in outcome.attempts] == [
        ("host:2", "UNAVAILABLE", 3.0),
        ("host:1", "OK", 6.0),
    ]


def test_a_child_tells_nothing_of_its_parents(told, watch, monkeypatch):
    observation = watch.begin(100.0, **FACTS)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    observation.finished()
    assert told.ends == []


def test_an_error_without_what_was_said():
    try:
        raise InferenceError("broken", partial_text="said") from ZeroDivisionError()
    except InferenceError as error:
        shown = bare(error.with_facts(trailing_metadata=(("x", "y"),), partial_results=("array",)))
    assert (shown.partial_text, shown.partial_results, shown.trailing_metadata) == ("", (), ())
    assert shown.__cause__ is shown.__context__ is shown.__traceback__ is None
    foreign = ZeroDivisionError()
    assert bare(foreign) is foreign
    assert bare(ConfigurationError("wrong", parameter="x")).parameter == "x"
