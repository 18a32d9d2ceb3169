"""One request and its one answer: which questions that takes, within one deadline, and what a refusal forgets."""

from __future__ import annotations

import pytest
from core.replies import array_signature, ask, echo, inference_request, remembers, sent

from nupic_client._core.calls.flows import Invoke
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.inference.call import infer
from nupic_client._core.kserve import wire
from nupic_client.errors import (
    ConfigurationError,
    DeadlineExceededError,
    ModelUnavailableError,
    OverloadedError,
    RequestRejectedError,
)
from nupic_client.registry import ModelSpec

MODEL = array_signature({"x": ("INT32", (-1,))})


def knowing():
    """Make a directory that knows the model."""
    models = ModelDirectory()
    models.remember(ModelSpec(name="model"), MODEL)
    return models


def config():
    response = wire.pb.ModelConfigResponse()
    kind = wire.pb.model__config__pb2.DataType.Value("TYPE_INT32")
    response.config.input.add(name="x", data_type=kind, dims=[-1])
    response.config.output.add(name="x", data_type=kind, dims=[-1])
    return response


def answered(request, inputs, *replies, models=None, clock=()):
    return ask(infer(request, inputs, models or knowing()), *replies, clock=clock)


def the_answer():
    """Return what a model gives that echoes ``[1, 2]``."""
    flow = infer(inference_request(), [1, 2], knowing())
    command = next(flow)
    while not isinstance(command, Invoke):
        command = flow.send(1.0)
    return echo(command)


def test_a_known_model_is_sent_the_inputs():
    (call,), result = answered(inference_request(), [1, 2], the_answer())
    assert (call.method, sent(call).model_name) == ("ModelInfer", "model")
    assert result.only.tolist() == [1, 2]
    assert result.request_id == "id-1"


def test_an_unknown_model_is_asked_for_once():
    models = ModelDirectory()
    (question, call), _ = answered(inference_request(), [1, 2], config(), the_answer(), models=models)
    assert [question.method, call.method] == ["ModelConfig", "ModelInfer"]
    assert len(answered(inference_request(), [1, 2], the_answer(), models=models)[0]) == 1


def test_the_question_and_the_call_share_one_deadline():
    commands, _ = answered(
        inference_request(timeout=10),
        [1, 2],
        config(),
        the_answer(),
        models=ModelDirectory(),
        clock=[100.0, 100.0, 101.0, 104.5],
    )
    assert [command.timeout for command in commands] == [9.0, 5.5]


def test_a_deadline_that_passes_has_the_limit_of_the_call():
    with pytest.raises(DeadlineExceededError) as caught:
        answered(inference_request(timeout=10), [1, 2], DeadlineExceededError("late"), clock=[100.0, 110.0])
    assert (caught.value.limit, caught.value.elapsed, caught.value.model) == (10.0, 10.0, "model")


def test_inputs_that_do_not_fit_are_not_sent():
    with pytest.raises(ConfigurationError, match="'x'"):
        answered(inference_request(), ["a"])


def test_a_call_that_may_help_is_made_again_and_counted():
    models = knowing()
    request = inference_request()
    busy = OverloadedError("busy", retryable=True)
    replies = [busy, 0.5, None] * request.options.retry.max_retries
    commands, result = answered(request, [1, 2], *replies, the_answer(), models=models)
    assert result.only.tolist() == [1, 2]
    assert {sent(command).id for command in commands if isinstance(command, Invoke)} == {"id-1"}
    with pytest.raises(OverloadedError) as caught:
        answered(inference_request(), [1, 2], *replies, busy)
    assert len(caught.value.attempts) == request.options.retry.max_retries + 1
    assert remembers(models, "model")


def test_a_refusal_forgets_the_signature():
    models = knowing()
    with pytest.raises(RequestRejectedError):
        answered(inference_request(), [1, 2], RequestRejectedError("new version"), models=models)
    assert not remembers(models, "model")


def test_another_failure_forgets_nothing():
    models = knowing()
    with pytest.raises(ModelUnavailableError):
        answered(inference_request(), [1, 2], ModelUnavailableError("unloaded"), models=models)
    assert remembers(models, "model")
