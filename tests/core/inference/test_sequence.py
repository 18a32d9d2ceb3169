"""The requests of a sequence: their flags, one at a time, and what a failure leaves."""

from __future__ import annotations

import pytest
from core.inference.test_session import number
from core.inference.test_stream_opening import config
from core.replies import array_signature, ask, echo, inference_request, last, sent

from nupic_client._core.calls.flows import Invoke
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.inference.sequence import (
    SequenceState,
    checked_sequence_id,
    infer_in_sequence,
    open_in_sequence,
)
from nupic_client._core.kserve import wire
from nupic_client.errors import (
    ConfigurationError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    RequestRejectedError,
    StreamStateError,
)
from nupic_client.registry import ModelSpec

MODEL = array_signature({"x": ("INT32", (-1,))})


def knowing():
    models = ModelDirectory()
    models.remember(ModelSpec(name="model"), MODEL)
    return models


def flow_of(state, value=1, *, end=False, models=None, **options):
    return infer_in_sequence(inference_request(**options), [value], models or knowing(), state, end=end)


def parameters(message):
    return {name: wire.parameter_value(value) for name, value in message.parameters.items()}


def answered(state, **more):
    """Send a request, answer it, and return its parameters."""
    flow = flow_of(state, **more)
    call = next(flow)
    while not isinstance(call, Invoke):
        call = flow.send(1.0)
    with pytest.raises(StopIteration):
        command = flow.send(echo(call))
        while True:
            command = flow.send(1.0 if command else None)
    return parameters(sent(call))


def stream_of(state, *, end=False, models=None, **options):
    options |= {"request_id": "r1"}
    request = inference_request(streamed=True, **options)
    return ask(open_in_sequence(request, [1], models or knowing(), state, end=end))[1]


# Ids


@pytest.mark.parametrize("value", [1, 2**63, 2**64 - 1, "a text"])
def test_an_id_may_be_a_positive_integer_of_64_bits_or_a_text(value):
    assert checked_sequence_id(value) == value


@pytest.mark.parametrize("value", [0, -1, 2**64, "", 1.5, True, b"a", [1], None, "\ud800"])
def test_other_ids_are_refused(value):
    with pytest.raises(ConfigurationError, match="sequence_id must be") as caught:
        checked_sequence_id(value)
    assert caught.value.parameter == "sequence_id"


@pytest.mark.parametrize(
    ("value", "wire_value"), [(2**63 - 1, 2**63 - 1), (2**63, -(2**63)), (2**64 - 1, -1)]
)
def test_a_large_id_is_sent_as_the_signed_integer_with_the_same_bits(value, wire_value):
    assert answered(SequenceState(value))["sequence_id"] == wire_value


# Flags


def test_the_first_request_starts_the_sequence_and_the_last_one_ends_it():
    state = SequenceState(7)
    assert answered(state) == {"sequence_id": 7, "sequence_start": True}
    assert answered(state) == {"sequence_id": 7}
    assert answered(state, end=True) == {"sequence_id": 7, "sequence_end": True}
    assert (state.started, state.ended) == (True, True)


def test_one_request_may_be_the_whole_sequence():
    assert answered(SequenceState("s"), end=True) == {
        "sequence_id": "s",
        "sequence_start": True,
        "sequence_end": True,
    }


def test_the_callers_own_parameters_stay():
    assert answered(SequenceState(7), parameters={"priority": 2})["priority"] == 2


@pytest.mark.parametrize("name", ["sequence_id", "sequence_start", "sequence_end"])
def test_those_of_the_sequence_must_not_be_given(name):
    with pytest.raises(ConfigurationError, match=f"'{name}'") as caught:
        SequenceState(7).check(inference_request(parameters={name: 1}))
    assert caught.value.parameter == "parameters"


def test_a_stream_has_the_flags_too():
    session = stream_of(SequenceState(7), end=True)
    found = parameters(wire.pb.ModelInferRequest.FromString(session.message))
    assert found == {
        "sequence_id": 7,
        "sequence_start": True,
        "sequence_end": True,
        wire.EMPTY_FINAL_PARAMETER: True,
    }


# One at a time


def test_a_second_request_must_wait():
    state = SequenceState(7)
    running = flow_of(state)
    next(running)
    running.send(1.0)
    for second in (
        flow_of(state),
        open_in_sequence(inference_request(streamed=True), [1], knowing(), state, end=True),
    ):
        with pytest.raises(StreamStateError, match="one request at a time"):
            ask(second)
    running.close()
    answered(state)


def test_a_stream_is_a_request_until_its_end():
    state = SequenceState(7)
    session = stream_of(state)
    with pytest.raises(StreamStateError, match="one request at a time"):
        stream_of(state)
    session.receive(last(), 2.0)
    session.ended(2.0)
    assert answered(state) == {"sequence_id": 7}


def test_after_the_end_there_is_no_request():
    state = SequenceState(7)
    answered(state, end=True)
    for _ in range(2):
        with pytest.raises(StreamStateError, match="has ended: make another one"):
            answered(state)
        with pytest.raises(StreamStateError, match="has ended"):
            stream_of(state)


# Failures


def test_what_was_not_sent_changes_nothing():
    state = SequenceState(7)
    with pytest.raises(ConfigurationError):
        ask(flow_of(state, value="no number"))
    with pytest.raises(ConfigurationError):
        ask(open_in_sequence(inference_request(streamed=True), "no number", knowing(), state, end=False))
    assert not state.sent
    assert answered(state) == {"sequence_id": 7, "sequence_start": True}


def test_a_first_request_that_failed_is_followed_by_another_first_one():
    state = SequenceState(7)
    with pytest.raises(InferenceError):
        ask(flow_of(state), InferenceError("exploded"))
    assert (state.sent, state.started) == (True, False)
    assert answered(state) == {"sequence_id": 7, "sequence_start": True}


def test_a_later_request_that_failed_leaves_the_sequence_as_it_is():
    state = SequenceState(7)
    answered(state)
    with pytest.raises(InferenceError):
        ask(flow_of(state, end=True), InferenceError("exploded"))
    assert not state.ended
    assert answered(state) == {"sequence_id": 7}


@pytest.mark.parametrize("read", [0, 1])
def test_a_first_stream_that_is_left_has_started_the_sequence_if_something_came(read):
    state = SequenceState(7)
    session = stream_of(state)
    for _ in range(read):
        session.receive(number(4), 2.0)
    session.cancelled(3.0)
    assert state.started == bool(read)
    assert answered(state).get("sequence_start", False) == (not read)


def test_a_request_is_not_sent_again_but_the_question_before_it_may_be():
    busy = ModelUnavailableError("loading", retryable=True)
    flow = flow_of(SequenceState(7), models=ModelDirectory())
    with pytest.raises(ModelUnavailableError) as caught:
        ask(flow, busy, 0.5, None, config(decoupled=False), busy)
    assert len(caught.value.attempts) == 1


def test_a_stream_is_not_sent_again():
    session = stream_of(SequenceState(7), max_retries=3)
    session.broken(ModelUnavailableError("loading", retryable=True), 2.0)
    assert not session.running


def test_one_deadline_covers_the_question_and_the_request():
    with pytest.raises(DeadlineExceededError) as caught:
        ask(flow_of(SequenceState(7), timeout=5.0), DeadlineExceededError("late"), clock=[1.0, 2.0, 6.5])
    assert caught.value.limit == 5.0


def test_a_refusal_forgets_the_signature():
    models = knowing()
    with pytest.raises(RequestRejectedError):
        ask(flow_of(SequenceState(7), models=models), RequestRejectedError("changed"))
    assert models.known(ModelSpec(name="model"), inference_request().options)[1] is None
