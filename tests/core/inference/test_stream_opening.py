"""From a streamed request to its session: the model of that name, and the inputs as it takes them."""

from __future__ import annotations

import pytest
from core.replies import array_signature, ask, inference_request, remembers

from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.inference.stream_opening import open_inference_stream
from nupic_client._core.kserve import wire
from nupic_client.errors import ConfigurationError, DeadlineExceededError, ModelUnavailableError
from nupic_client.registry import ModelSpec
from nupic_client.timeouts import Timeouts

MODEL = array_signature({"x": ("INT32", (-1,))}, {"y": ("INT32", (1,))}, decoupled=True)


def config(name="model", *, decoupled=True):
    response = wire.pb.ModelConfigResponse()
    kind = wire.pb.model__config__pb2.DataType.Value("TYPE_INT32")
    response.config.name = name
    response.config.model_transaction_policy.decoupled = decoupled
    response.config.input.add(name="x", data_type=kind, dims=[-1])
    response.config.output.add(name="y", data_type=kind, dims=[1])
    return response


def opened(*replies, model="model", models=None, inputs=(1, 2), clock=(), once=False, **options):
    request = inference_request(model, streamed=True, **options)
    flow = open_inference_stream(
        request, list(inputs), ModelDirectory() if models is None else models, once=once
    )
    return ask(flow, *replies, clock=clock)


def sent(session):
    return wire.pb.ModelInferRequest.FromString(session.message)


def test_a_model_is_asked_for_once_and_gets_the_inputs():
    models = ModelDirectory()
    commands, session = opened(config(), models=models)
    assert [command.method for command in commands] == ["ModelConfig"]
    message = sent(session)
    assert (message.model_name, message.id, [*message.inputs[0].shape]) == ("model", "id-1", [2])
    assert opened(models=models)[0] == []


def test_the_end_of_the_stream_is_asked_for_beside_the_callers_parameters():
    _, session = opened(config(), parameters={"priority": 3})
    parameters = sent(session).parameters
    assert parameters[wire.EMPTY_FINAL_PARAMETER].bool_param
    assert parameters["priority"].int64_param == 3


def test_a_model_that_answers_once_is_taken():
    assert opened(config(decoupled=False))[1].running


def test_an_id_of_the_callers_own_is_kept():
    assert opened(config(), request_id="mine")[1].request_id == "mine"


@pytest.mark.parametrize(
    ("options", "match"), [({"outputs": ["z"]}, "no output 'z'"), ({"inputs": ("a",)}, "x")]
)
def test_what_does_not_fit_the_model_is_not_sent(options, match):
    with pytest.raises(ConfigurationError, match=match):
        opened(config(), **options)


def test_a_name_of_a_stream_means_that_model():
    (call,), session = opened(config("model.streaming"), model="model.streaming")
    assert call.request.name == "model.streaming"
    assert sent(session).model_name == "model.streaming"


def test_the_twin_is_taken_where_there_is_no_model_of_that_name():
    missing = ModelUnavailableError("no such model", status="NOT_FOUND")
    commands, session = opened(missing, config(), model="model.streaming")
    assert [command.request.name for command in commands] == ["model.streaming", "model"]
    assert sent(session).model_name == "model"


def test_the_other_meaning_of_a_name_is_kept_apart():
    models = ModelDirectory()
    spec = ModelSpec(name="model.streaming")
    request = inference_request("model.streaming")
    ask(models.unary(spec, request.options, target=""), config(decoupled=False))
    _, session = opened(config("model.streaming"), model="model.streaming", models=models)
    assert sent(session).model_name == "model.streaming"
    assert models.known(spec, request.options)[1].name == "model"


def test_a_model_that_refuses_a_stream_is_asked_for_again():
    models = ModelDirectory()
    _, session = opened(config(), models=models)
    assert remembers(models, "model")
    session.broken(ModelUnavailableError("unloaded"), 2.0)
    assert not remembers(models, "model")


def test_a_signature_of_the_callers_own_is_used():
    request = inference_request(streamed=True)
    flow = open_inference_stream(request, [1], _knowing())
    assert ask(flow)[0] == []


def _knowing():
    models = ModelDirectory()
    models.remember(ModelSpec(name="model"), MODEL)
    return models


def test_the_question_may_take_as_long_as_the_first_response():
    (call,), _ = opened(config(), timeout=Timeouts(first_token=5, connect=2))
    assert call.timeout == 7
    with pytest.raises(DeadlineExceededError, match="did not say within 7 s"):
        opened(DeadlineExceededError("late"), timeout=Timeouts(first_token=5, connect=2))


def test_the_clock_starts_before_the_question():
    _, session = opened(config(), timeout=10.0, clock=[100.0, 101.0, 102.0])
    assert session.remaining(104.0) == 6.0


def test_a_request_that_must_be_sent_once_is_not_sent_again():
    unloaded = ModelUnavailableError("loading", retryable=True)
    commands, session = opened(unloaded, 0.5, None, config(), once=True)
    assert len(commands) == 4  # the question may be
    assert session.broken(unloaded, 2.0) is session.failure
