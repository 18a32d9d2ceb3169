"""Many inputs to one model: requests, batches, order, and whose error it is. The tests do what a shell does."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from core.replies import array_signature, ask, echo, inference_request, sent
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.calls.flows import Invoke, ReadClock
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.inference.bulk import (
    NOTHING,
    BulkSettings,
    Pipeline,
    embedding_pipeline,
    open_pipeline,
)
from nupic_client._core.inference.embedding import EmbeddingBatcher
from nupic_client._core.inference.result import InferenceResult
from nupic_client.errors import (
    ConfigurationError,
    NupicError,
    OverloadedError,
    ProtocolError,
    RequestRejectedError,
)
from nupic_client.registry import ModelSpec

SINGLE = array_signature({"x": ("INT64", (1,))})
BATCHED = array_signature({"x": ("INT64", (-1,))}, max_batch_size=8)


def pipeline(model=SINGLE, **settings):
    return Pipeline(inference_request(single=False), model, BulkSettings(**settings))


def perform(job, answer=echo):
    """Run a job as a shell does and return its outcome."""
    try:
        command = next(job.flow)
        while True:
            reply = 1.0 if isinstance(command, ReadClock) else answer(command)
            command = job.flow.throw(reply) if isinstance(reply, Exception) else job.flow.send(reply)
    except StopIteration as stop:
        return stop.value
    except NupicError as error:
        return error


def refuse(*numbers):
    """Refuse the inputs that hold one of these numbers."""

    def answer(call):
        found = np.frombuffer(sent(call).raw_input_contents[0], np.int64)
        return RequestRejectedError("not this one") if set(numbers) & set(found.tolist()) else echo(call)

    return answer


def value(outcome):
    return outcome.only.ravel()[0].item() if isinstance(outcome, InferenceResult) else outcome


def outcomes(running, inputs, answer=echo):
    """Run everything, one job after the other, and return what is given out."""
    found = []
    waiting = iter(inputs)

    def work(jobs):
        for job in jobs:
            running.finish(job, perform(job, answer))
        while (taken := running.take()) is not NOTHING:
            found.append(taken)

    while running.wants_input:
        try:
            item = next(waiting)
        except StopIteration:
            work(running.end())
        else:
            work(running.feed(item))
    assert running.finished
    return found


# Settings


@pytest.mark.parametrize("name", ["concurrency", "batch_size"])
@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "2"])
def test_counts_are_whole_numbers_above_zero(name, bad):
    with pytest.raises(ConfigurationError, match=name):
        BulkSettings(**{name: bad})


def test_errors_are_raised_or_returned():
    with pytest.raises(ConfigurationError, match=r"errors.*'ignore'"):
        BulkSettings(errors="ignore")
    with pytest.raises(ConfigurationError, match="concurrency"):
        BulkSettings(concurrency=None)


def test_the_usual_settings():
    assert BulkSettings() == BulkSettings(concurrency=32, ordered=True, errors="raise", batch_size=None)


def test_a_batch_that_is_larger_than_the_model_takes_is_an_error():
    with pytest.raises(ConfigurationError, match=r"batch_size.*'model'"):
        pipeline(BATCHED, batch_size=9)
    with pytest.raises(ConfigurationError, match="batch_size"):
        pipeline(SINGLE, batch_size=2)
    assert pipeline(BATCHED, batch_size=8)
    assert pipeline(SINGLE, batch_size=1)


# One request for each input


def test_each_input_is_a_request_and_results_come_in_order():
    assert [value(found) for found in outcomes(pipeline(), range(100))] == list(range(100))


def test_each_request_has_an_id_of_its_own():
    results = outcomes(pipeline(), range(3))
    assert [result.request_id for result in results] == ["id-1", "id-2", "id-3"]


def test_no_inputs_give_no_results():
    assert outcomes(pipeline(), []) == []
    empty = pipeline()
    assert not empty.finished
    assert empty.end() == []
    assert empty.finished
    assert not empty.wants_input


def test_no_more_run_than_allowed():
    running = pipeline(concurrency=2)
    jobs = running.feed(0) + running.feed(1)
    assert len(jobs) == 2
    assert not running.wants_input
    running.finish(jobs[1], perform(jobs[1]))
    assert running.wants_input


def test_a_slow_input_holds_up_twice_as_many_as_run():
    running = pipeline(concurrency=2)
    (slow,) = running.feed(0)
    fed = 1
    while running.wants_input:
        (job,) = running.feed(fed)
        running.finish(job, perform(job))
        fed += 1
    assert fed == 4
    assert running.take() is NOTHING
    running.finish(slow, perform(slow))
    assert [value(running.take()) for _ in range(4)] == [0, 1, 2, 3]
    assert running.wants_input


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_slow_batch_holds_up_as_many_batches(size):
    running = pipeline(BATCHED, concurrency=2, batch_size=size)
    jobs = []
    fed = 0
    while running.wants_input:
        jobs += running.feed([fed])
        fed += 1
        if len(jobs) > 1:  # all but the first
            job = jobs.pop()
            running.finish(job, perform(job))
    assert fed == 4 * size


def test_out_of_order_results_come_as_they_complete_with_their_index():
    running = pipeline(ordered=False)
    jobs = [job for number in range(3) for job in running.feed(number)]
    for index in (2, 0):
        running.finish(jobs[index], perform(jobs[index]))
    taken = [running.take(), running.take()]
    assert [(index, value(result)) for index, result in taken] == [(2, 2), (0, 0)]
    assert running.take() is NOTHING


def test_what_completes_is_told_at_once_with_its_index():
    running = pipeline()
    first, second = running.feed(0) + running.feed(1)
    told = running.finish(second, perform(second))
    assert [(index, value(result)) for index, result in told] == [(1, 1)]
    assert running.take() is NOTHING
    assert [index for index, _ in running.finish(first, perform(first))] == [0]


def test_it_is_finished_when_all_was_given_out():
    running = pipeline()
    (job,) = running.feed(0)
    running.end()
    assert not running.finished
    running.finish(job, perform(job))
    assert not running.finished
    running.take()
    assert running.finished


def test_a_request_has_the_deadline_and_the_retries_of_the_call():
    (job,) = pipeline().feed(0)
    busy = OverloadedError("busy", retryable=True)
    commands, result = ask(job.flow, busy, 0.5, None, echo(call_of(pipeline().feed(0)[0])))
    calls = [command for command in commands if isinstance(command, Invoke)]
    assert [call.timeout for call in calls] == [inference_request().timeout] * 2
    assert value(result) == 0


def call_of(job):
    """Return the call that a job begins with."""
    command = next(job.flow)
    while not isinstance(command, Invoke):
        command = job.flow.send(1.0)
    return command


def test_a_job_that_is_left_ends_quietly(caplog):
    caplog.set_level(logging.INFO, logger="nupic_client")
    started, waiting = (pipeline().feed(number)[0] for number in range(2))
    call_of(started)
    started.flow.close()
    waiting.flow.close()
    assert ["outcome=cancelled" in line for line in caplog.messages] == [True]


# Errors


def test_the_error_of_an_input_is_raised_in_its_turn_and_names_it():
    running = pipeline()
    jobs = [job for number in range(3) for job in running.feed(number)]
    told = [running.finish(job, perform(job, refuse(1))) for job in jobs]
    assert [len(found) for found in told] == [1, 0, 1]  # an error that is raised is told nobody else
    assert value(running.take()) == 0
    with pytest.raises(RequestRejectedError, match=r"item 1: .*not this one") as caught:
        running.take()
    assert caught.value.model == "model"
    assert value(running.take()) == 2


def test_the_cause_of_an_error_is_kept():
    running = pipeline(errors="return")
    (job,) = running.feed(0)
    error = RequestRejectedError("no")
    error.__cause__ = RuntimeError("of gRPC")
    running.finish(job, error)
    assert running.take().__cause__ is error.__cause__


def test_errors_may_be_returned():
    found = outcomes(pipeline(errors="return", ordered=False), range(4), refuse(1, 3))
    assert [index for index, result in found if isinstance(result, RequestRejectedError)] == [1, 3]
    running = pipeline(errors="return")
    (job,) = running.feed(1)
    ((index, error),) = running.finish(job, perform(job, refuse(1)))
    assert (index, type(error)) == (0, RequestRejectedError)


@pytest.mark.parametrize("batch_size", [None, 1])
def test_an_input_that_does_not_fit_is_an_error_of_its_own(batch_size):
    found = outcomes(pipeline(errors="return", batch_size=batch_size), [[0], "a", [2]])
    assert [type(result) for result in found] == [InferenceResult, ConfigurationError, InferenceResult]
    assert "item 1" in str(found[1])
    assert "'x'" in str(found[1])


# Batches


def sizes(running, inputs):
    """Return how many rows each request has that the inputs make."""
    jobs = [job for item in inputs for job in running.feed(item)] + running.end()
    return [sent(call_of(job)).inputs[0].shape[0] for job in jobs]


def test_inputs_are_put_together_and_results_taken_apart():
    results = outcomes(pipeline(BATCHED, batch_size=8), [[n, -n] for n in range(20)])
    assert [result.only.tolist() for result in results] == [[[n, -n]] for n in range(20)]
    assert len({result.request_id for result in results}) == 3


@pytest.mark.parametrize(
    ("rows", "requests"),
    [
        ([1] * 20, [8, 8, 4]),
        ([3, 3, 3, 1, 8], [6, 4, 8]),
        ([8, 8], [8, 8]),
        ([5, 4], [5, 4]),
        ([5, 3], [8]),
        ([1], [1]),
        ([], []),
    ],
)
def test_inputs_of_several_rows_stay_together(rows, requests):
    running = pipeline(BATCHED, batch_size=8)
    assert sizes(running, [[[0]] * count for count in rows]) == requests


def test_a_batch_is_sent_when_it_is_full_and_what_is_left_at_the_end():
    running = pipeline(BATCHED, batch_size=2)
    assert running.feed([0]) == []
    assert len(running.feed([1])) == 1
    assert running.feed([2]) == []
    assert len(running.end()) == 1


def test_inputs_that_differ_in_shape_go_apart():
    inputs = [[1], [2], [1, 2], [3]]
    assert sizes(pipeline(BATCHED, batch_size=8), inputs) == [2, 1, 1]
    results = outcomes(pipeline(BATCHED, batch_size=8), inputs)
    assert [result.only.tolist() for result in results] == [[item] for item in inputs]


def test_an_input_without_rows_goes_alone():
    inputs = [np.zeros((rows, 1), np.int64) for rows in (1, 0, 0, 2, 3, 0, 1)]
    assert sizes(pipeline(BATCHED, batch_size=8), inputs) == [1, 0, 0, 5, 0, 1]
    results = outcomes(pipeline(BATCHED, batch_size=8), inputs)
    assert [result.only.shape for result in results] == [array.shape for array in inputs]


def test_an_input_larger_than_the_batch_goes_alone():
    assert sizes(pipeline(BATCHED, batch_size=2), [[0], [[1]] * 3, [2]]) == [1, 3, 1]


def test_a_model_without_a_batch_dimension_gets_one_input_at_a_time():
    model = array_signature({"x": ("INT64", (-1,))})
    results = outcomes(pipeline(model, batch_size=1), [[1, 2], [3]])
    assert [result.only.tolist() for result in results] == [[1, 2], [3]]


def test_an_input_that_does_not_fit_closes_the_batch_before_it_and_fails_alone():
    found = outcomes(pipeline(BATCHED, batch_size=8, errors="return"), [[1], [2], "a", [3]])
    assert [type(result).__name__ for result in found] == [
        "InferenceResult",
        "InferenceResult",
        "ConfigurationError",
        "InferenceResult",
    ]
    assert [value(found[index]) for index in (0, 1, 3)] == [1, 2, 3]
    assert "item 2" in str(found[2])


def test_a_failed_request_fails_each_of_its_inputs_with_an_error_of_its_own():
    found = outcomes(pipeline(BATCHED, batch_size=3, errors="return"), [[n] for n in range(6)], refuse(1))
    assert [str(error)[:7] for error in found[:3]] == ["item 0:", "item 1:", "item 2:"]
    assert [value(result) for result in found[3:]] == [3, 4, 5]


@pytest.mark.parametrize("shape", [[1], [3, 2], []])
def test_an_answer_of_another_batch_breaks_the_protocol(shape):
    def answer(call):
        response = echo(call)
        del response.outputs[0].shape[:]
        response.outputs[0].shape.extend(shape)
        del response.raw_output_contents[:]
        response.raw_output_contents.append(bytes(8 * int(np.prod(shape))))
        return response

    found = outcomes(pipeline(BATCHED, batch_size=2, errors="return"), [[1], [2]], answer)
    assert [type(error) for error in found] == [ProtocolError, ProtocolError]
    assert "'x'" in str(found[0])
    assert (found[0].model, found[0].request_id) == ("model", "id-1")
    assert str(found[1]).startswith("item 1:")


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 2)), max_size=12),
    st.integers(1, 8),
    st.integers(1, 3),
    st.booleans(),
    st.data(),
)
def test_whatever_is_batched_and_completes_when_every_input_has_its_own_rows(
    shapes, size, concurrency, ordered, data
):
    """An input of more than 8 rows is more than the model takes."""
    running = pipeline(BATCHED, batch_size=size, concurrency=concurrency, ordered=ordered, errors="return")
    inputs = [np.full(shape, number) for number, shape in enumerate(shapes)]
    jobs, found, fed = [], [], 0
    while not running.finished:
        steps = [("finish", index) for index in range(len(jobs))] + [("feed", 0)] * running.wants_input
        step, index = data.draw(st.sampled_from(steps)) if len(steps) > 1 else steps[0]
        if step == "finish":
            job = jobs.pop(index)
            running.finish(job, perform(job))
        elif fed == len(inputs):
            jobs += running.end()
        else:
            jobs += running.feed(inputs[fed])
            fed += 1
        while (taken := running.take()) is not NOTHING:
            found.append((len(found), taken) if ordered else taken)
    assert sorted(index for index, _ in found) == list(range(len(inputs)))
    for index, outcome in found:
        if len(inputs[index]) > 8:
            assert isinstance(outcome, ConfigurationError)
        else:
            np.testing.assert_array_equal(outcome.only, inputs[index])


# Opening


def test_the_model_is_found_before_anything_else():
    models = ModelDirectory()
    models.remember(ModelSpec(name="model"), BATCHED)
    flow = open_pipeline(inference_request(single=False), BulkSettings(batch_size=8), models)
    commands, running = ask(flow)
    assert commands == []
    assert sizes(running, [[0]] * 9) == [8, 1]


def test_a_model_that_cannot_be_asked_for_is_an_error():
    flow = open_pipeline(inference_request(single=False), BulkSettings(), ModelDirectory())
    with pytest.raises(RequestRejectedError) as caught:
        ask(flow, RequestRejectedError("no"))
    assert caught.value.model == "model"


def test_the_question_for_the_model_has_the_deadline_of_the_call():
    flow = open_pipeline(inference_request(single=False, timeout=3.0), BulkSettings(), ModelDirectory())
    assert isinstance(next(flow), ReadClock)
    assert isinstance(flow.send(1.0), ReadClock)
    assert flow.send(2.0).timeout == 2.0


def test_an_embedding_is_a_pipeline_of_its_requests_as_they_complete():
    model = array_signature({"t": ("BYTES", (1,))}, {"v": ("FP32", (3,))}, max_batch_size=2)
    batcher = EmbeddingBatcher(inference_request(single=False), model, ("a", "b", "c"))
    running = embedding_pipeline(batcher, BulkSettings(concurrency=1, ordered=False))
    (job,) = running.feed(next(batcher.inputs()))
    assert not running.wants_input
    request = sent(call_of(job))
    assert list(request.inputs[0].shape) == [2, 1]
    assert [output.name for output in request.outputs] == ["v"]
    result = InferenceResult({"v": np.zeros((2, 3))}, model="model")
    running.finish(job, result)
    assert running.take() == (0, result)
