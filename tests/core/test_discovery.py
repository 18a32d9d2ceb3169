from __future__ import annotations

import pytest
from core.replies import drive, signature

from nupic_client._core import wire
from nupic_client._core.discovery import candidates, start_or_discover
from nupic_client._core.draft import CallOptions, Draft
from nupic_client.backends.plain import PlainBackend
from nupic_client.errors import ConnectionFailedError, ModelUnavailableError, UnknownModelError
from nupic_client.registry import ModelRegistry, ModelSpec

MODELS = ["acme-zephyr-7b.streaming", "acme-zephyr-7b", "llama.streaming"]


def draft(model):
    return Draft(
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
    flow = start_or_discover(draft(UNKNOWN), {}, found)
    _, exchange = drive(flow, 1.0, not_found(), index(*MODELS), 2.0, config_reply(MODELS[0]))
    assert exchange.request.model == MODELS[0]
    assert found == {"zephyr": MODELS[0]}


def test_a_short_name_is_looked_for_once():
    flow = start_or_discover(draft(UNKNOWN), {MODELS[0]: signature()}, {"zephyr": MODELS[0]})
    commands, exchange = drive(flow, 1.0)
    assert exchange.request.model == MODELS[0]
    assert len(commands) == 1


def test_a_name_that_may_mean_several_models_is_an_error_that_lists_them():
    flow = start_or_discover(draft(UNKNOWN), {}, {})
    with pytest.raises(UnknownModelError, match=r"'a-zephyr\.streaming', 'b-zephyr\.streaming'") as caught:
        drive(flow, 1.0, not_found(), index("b-zephyr.streaming", "a-zephyr.streaming"))
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
        drive(start_or_discover(draft(UNKNOWN), {}, {}), 1.0, not_found(), index(*names))


def test_a_server_that_lists_no_models_leaves_the_first_error():
    error = not_found()
    with pytest.raises(ModelUnavailableError) as caught:
        drive(start_or_discover(draft(UNKNOWN), {}, {}), 1.0, error, ConnectionFailedError("gone"))
    assert caught.value is error


def test_a_model_of_the_registry_is_not_looked_for():
    with pytest.raises(ModelUnavailableError):
        drive(start_or_discover(draft(ModelSpec(name="zephyr")), {}, {}), 1.0, not_found())


def test_another_failure_is_not_answered_with_a_search():
    with pytest.raises(ConnectionFailedError):
        drive(start_or_discover(draft(UNKNOWN), {}, {}), 1.0, ConnectionFailedError("gone"))


def test_upper_and_lower_case_are_the_same():
    assert candidates("ZEPHYR", MODELS) == [MODELS[0]]
