from __future__ import annotations

from dataclasses import replace

import pytest
from core.replies import ask, signature

from nupic_client._core.generation.opening import candidates, start_or_discover
from nupic_client._core.generation.request import CallOptions, GenerationRequest
from nupic_client._core.kserve import wire
from nupic_client.backends.plain import PlainBackend
from nupic_client.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
    UnknownModelError,
)
from nupic_client.registry import ModelRegistry, ModelSpec
from nupic_client.timeouts import NO_RETRIES, Timeouts

MODELS = ["acme-zephyr-7b.streaming", "acme-zephyr-7b", "llama.streaming"]


def request(model):
    return GenerationRequest(
        model=model,
        prompt="Hi",
        options=CallOptions(),
        request_id="r1",
        target="host:8001",
        backend=PlainBackend(),
    )


UNKNOWN = ModelRegistry([ModelSpec(name="mine")]).resolve("zephyr")


def not_found():
    return ModelUnavailableError("no such model", status="NOT_FOUND")


def index(*names):
    return wire.pb.RepositoryIndexResponse(models=[{"name": name} for name in names])


def config_reply(name):
    response = wire.pb.ModelConfigResponse()
    response.config.name = name
    response.config.model_transaction_policy.decoupled = True
    string = wire.pb.model__config__pb2.DataType.Value("TYPE_STRING")
    response.config.input.add(name="text_input", data_type=string, dims=[1])
    response.config.output.add(name="text_output", data_type=string, dims=[1])
    return response


def test_a_short_name_means_the_one_model_that_streams_and_has_it_in_its_name():
    found = {}
    flow = start_or_discover(request(UNKNOWN), {}, found)
    _, session = ask(flow, not_found(), index(*MODELS), config_reply(MODELS[0]))
    assert session.request.model == MODELS[0]
    assert found == {"zephyr": MODELS[0]}


def test_a_short_name_is_looked_for_once():
    flow = start_or_discover(request(UNKNOWN), {MODELS[0]: signature()}, {"zephyr": MODELS[0]})
    commands, session = ask(flow)
    assert session.request.model == MODELS[0]
    assert commands == []


def test_a_name_that_may_mean_several_models_is_an_error_that_lists_them():
    flow = start_or_discover(request(UNKNOWN), {}, {})
    with pytest.raises(UnknownModelError, match=r"'a-zephyr\.streaming', 'b-zephyr\.streaming'") as caught:
        ask(flow, not_found(), index("b-zephyr.streaming", "a-zephyr.streaming"))
    assert caught.value.known == ("a-zephyr.streaming", "b-zephyr.streaming")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["llama.streaming", "x"], "stream there: llama.streaming$|stream there: llama.streaming"),
        (["x"], "No model there"),
    ],
)
def test_a_name_that_no_model_has_is_an_error_that_lists_what_streams(names, words):
    with pytest.raises(ModelUnavailableError, match=words):
        ask(start_or_discover(request(UNKNOWN), {}, {}), not_found(), index(*names))


def test_a_server_that_lists_no_models_leaves_the_first_error():
    error = not_found()
    with pytest.raises(ModelUnavailableError) as caught:
        ask(start_or_discover(request(UNKNOWN), {}, {}), error, ConnectionFailedError("gone"))
    assert caught.value is error


def test_a_model_of_the_registry_is_not_looked_for():
    with pytest.raises(ModelUnavailableError):
        ask(start_or_discover(request(ModelSpec(name="zephyr")), {}, {}), not_found())


def test_another_failure_is_not_answered_with_a_search():
    with pytest.raises(ConnectionFailedError):
        ask(start_or_discover(request(UNKNOWN), {}, {}), ConnectionFailedError("gone"))


def test_upper_and_lower_case_are_the_same():
    assert candidates("ZEPHYR", MODELS) == [MODELS[0]]


def test_all_questions_share_one_deadline():
    options = CallOptions(timeouts=Timeouts(total=10.0))
    flow = start_or_discover(replace(request(UNKNOWN), options=options), {}, {})
    clock = [100.0, 100.0, 101.0, 105.0, 109.5]
    commands, session = ask(flow, not_found(), index(*MODELS), config_reply(MODELS[0]), clock=clock)
    assert [command.timeout for command in commands] == [9.0, 5.0, 0.5]
    assert session.remaining(109.75) == 0.25


def test_a_question_for_which_no_time_is_left_fails_at_once():
    options = CallOptions(timeouts=Timeouts(total=10.0))
    flow = start_or_discover(replace(request(UNKNOWN), options=options), {}, {})
    with pytest.raises(DeadlineExceededError):
        ask(flow, DeadlineExceededError("late"), clock=[100.0, 100.0, 120.0])


def test_without_a_deadline_no_question_has_one():
    options = CallOptions(timeouts=Timeouts(total=None, first_token=None))
    flow = start_or_discover(replace(request(UNKNOWN), options=options), {}, {})
    commands, _ = ask(flow, not_found(), index(*MODELS), config_reply(MODELS[0]))
    assert [command.timeout for command in commands] == [None, None, None]


@pytest.mark.parametrize(
    ("timeouts", "limit"),
    [
        (Timeouts(total=None, first_token=5, connect=2), 7),
        (Timeouts(total=None, first_token=5, connect=None), 5),
        (Timeouts(total=3, first_token=5, connect=2), 3),
        (Timeouts(total=30, first_token=None), 30),
    ],
)
def test_the_questions_take_no_longer_than_the_first_token_and_the_connection_may(timeouts, limit):
    asking = replace(request(UNKNOWN), options=CallOptions(timeouts=timeouts))
    commands, _ = ask(start_or_discover(asking, {}, {}), config_reply("zephyr"))
    assert [command.timeout for command in commands] == [limit]
    with pytest.raises(DeadlineExceededError, match=f"did not say within {limit} s") as caught:
        ask(start_or_discover(asking, {}, {}), DeadlineExceededError("late"))
    name = "total" if limit == timeouts.total else "first_token"
    assert (caught.value.limit, caught.value.deadline) == (limit, name)


def test_a_model_that_is_not_loaded_now_is_not_looked_for_under_another_name():
    unloaded = ModelUnavailableError("has no available versions", status="NOT_FOUND", retryable=True)
    asking = replace(request(UNKNOWN), options=CallOptions(retry=NO_RETRIES))
    with pytest.raises(ModelUnavailableError) as caught:
        ask(start_or_discover(asking, {}, {}), unloaded)
    assert caught.value.message == "has no available versions"
