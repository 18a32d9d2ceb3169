"""Which model a name means, and the questions to the server for that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core.replies import asked, drive, remembers, unimplemented

from nupic_client._core.calls.models import (
    ModelDirectory,
    candidates,
    describe_model,
    streaming_twin,
)
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.kserve import wire
from nupic_client.errors import (
    ConnectionFailedError,
    ModelUnavailableError,
    RequestRejectedError,
    UnknownModelError,
)
from nupic_client.registry import ModelRegistry, ModelSpec
from nupic_client.signature import ModelSignature

METADATA = (("authorization", "Bearer secret"),)
MODELS = ["acme-zephyr-7b.streaming", "acme-zephyr-7b", "llama.streaming"]


OPTIONS = CallOptions(metadata=METADATA)


def config_reply(decoupled=True, name="llm"):
    response = wire.pb.ModelConfigResponse()
    response.config.name = name
    response.config.model_transaction_policy.decoupled = decoupled
    return response


def not_found(**facts):
    return ModelUnavailableError("no such model", status="NOT_FOUND", **facts)


def index(*names):
    return wire.pb.RepositoryIndexResponse(models=[{"name": name} for name in names])


def spec(name="llm", **more):
    return ModelSpec(name=name, **more)


def hinted(name):
    """Return a model that the registry does not know."""
    return ModelRegistry([ModelSpec(name="mine")]).resolve(name)


# Short names


@pytest.mark.parametrize("name", ["stream", "ing", ".streaming", "m.s"])
def test_the_suffix_is_not_searched(name):
    assert candidates(name, ["gpt.streaming", "llama.streaming"]) == []


def test_a_short_name_may_have_the_suffix():
    assert candidates("zephyr-7b.streaming", MODELS) == [MODELS[0]]


def test_upper_and_lower_case_are_the_same():
    assert candidates("ZEPHYR", MODELS) == [MODELS[0]]


def test_models_that_do_not_stream_are_not_meant():
    assert candidates("acme", ["acme-1", "acme-2"]) == []


def test_several_models_may_be_meant():
    assert candidates("x", ["xb.streaming", "bx.streaming", "b.streaming"]) == [
        "xb.streaming",
        "bx.streaming",
    ]


def test_the_suffix_may_be_given_too():
    assert candidates("zephyr-7b.streaming", MODELS) == [MODELS[0]]


def test_a_model_of_exactly_this_family_is_meant_before_others_that_have_it_in_their_name():
    models = ["nupic-gpt.7b-v1.streaming", "my-gpt-fork.streaming"]
    assert candidates("GPT", models) == [models[0]]


# What the client knows


def test_nothing_is_known_at_first():
    model = spec()
    known, signature = ModelDirectory().known(model, OPTIONS)
    assert known is model
    assert signature is None


def test_a_remembered_signature_is_known_until_it_is_forgotten():
    models, signature = ModelDirectory(), ModelSignature("llm", {}, {})
    models.remember(spec(), signature)
    assert models.known(spec(), OPTIONS)[1] is signature
    assert not remembers(models, "other")
    models.forget("other")
    assert remembers(models)
    models.forget("llm")
    assert not remembers(models)
    models.forget("llm")


def test_a_signature_of_the_call_counts_more():
    models, own = ModelDirectory(), ModelSignature("own", {}, {})
    models.remember(spec(), ModelSignature("llm", {}, {}))
    assert models.known(spec(), replace(OPTIONS, signature=own))[1] is own


def test_a_friendly_name_is_known_under_the_servers():
    models = ModelDirectory()
    models.remember(spec("friendly", server_name="llm"), ModelSignature("llm", {}, {}))
    assert remembers(models, "llm")
    assert not remembers(models, "friendly")


# The model for a stream


def stream(model, *replies, models=None, options=OPTIONS):
    flow = (models or ModelDirectory()).streaming(model, options, "host:1")
    return drive(flow, *replies)


def test_a_stream_asks_for_the_model_by_its_name_and_version():
    commands, (model, signature) = stream(spec(version="2"), config_reply())
    assert asked(commands) == [("ModelConfig", "llm")]
    assert (commands[0].request.version, commands[0].metadata) == ("2", METADATA)
    assert (model.server_name, signature.name) == ("llm", "llm")


def test_a_stream_to_a_model_without_config_is_taken_to_stream():
    _, (_, signature) = stream(spec(), unimplemented(), wire.pb.ModelMetadataResponse(name="llm"))
    assert signature.decoupled


def test_a_stream_to_a_model_that_is_known_asks_nothing():
    models = ModelDirectory()
    _, (model, signature) = stream(spec(), config_reply(), models=models)
    assert not remembers(models)  # whether it can do what is wanted is not decided here
    models.remember(model, signature)
    assert stream(spec(), models=models) == ([], (spec(), signature))


def test_a_signature_of_the_call_asks_nothing():
    own = ModelSignature("own", {}, {})
    assert stream(spec(), options=replace(OPTIONS, signature=own)) == ([], (spec(), own))


def test_a_short_name_is_looked_for_among_what_is_ready_and_then_known():
    models = ModelDirectory()
    commands, (model, signature) = stream(
        hinted("zephyr"), not_found(), index(*MODELS), config_reply(name=MODELS[0]), models=models
    )
    assert asked(commands) == [("ModelConfig", "zephyr"), ("RepositoryIndex", ""), ("ModelConfig", MODELS[0])]
    assert commands[1].request.ready
    assert {command.metadata for command in commands} == {METADATA}
    assert (model.server_name, signature.name) == (MODELS[0], MODELS[0])
    assert models.known(hinted("zephyr"), OPTIONS)[0].server_name == MODELS[0]
    commands, _ = stream(hinted("zephyr"), config_reply(name=MODELS[0]), models=models)
    assert asked(commands) == [("ModelConfig", MODELS[0])]


def test_a_short_name_of_several_models_is_an_error_with_their_names():
    with pytest.raises(UnknownModelError) as caught:
        stream(hinted("a"), not_found(), index(*reversed(MODELS)))
    assert (caught.value.model, caught.value.known) == ("a", (MODELS[0], MODELS[2]))
    assert "host:1" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "words"), [(MODELS, "acme-zephyr-7b.streaming, llama.streaming"), (["a"], r"'\.streaming'")]
)
def test_a_short_name_of_no_model_is_the_servers_error_with_the_hint_and_what_streams(names, words):
    given = not_found()
    given.__cause__ = RuntimeError("of gRPC")
    with pytest.raises(ModelUnavailableError, match=f"no such model.*mine.*{words}") as caught:
        stream(hinted("nope"), given, index(*names))
    assert caught.value.__cause__ is given.__cause__


def test_a_server_that_does_not_list_its_models_leaves_the_first_error():
    with pytest.raises(ModelUnavailableError, match=r"no such model.*mine"):
        stream(hinted("nope"), not_found(), unimplemented())


def test_a_model_of_the_registry_is_not_looked_for_and_gets_no_hint():
    with pytest.raises(ModelUnavailableError) as caught:
        stream(spec(), not_found())
    assert caught.value.message == "no such model"


@pytest.mark.parametrize(
    "error",
    [not_found(retryable=True), ModelUnavailableError("loading", status="UNAVAILABLE", retryable=True)],
)
def test_a_model_that_may_work_later_is_not_replaced_by_another(error):
    with pytest.raises(ModelUnavailableError) as caught:
        stream(hinted("zephyr"), error)
    assert caught.value is error


# The model for one request with one answer


def unary(model, *replies, models=None, options=OPTIONS):
    flow = (models or ModelDirectory()).unary(model, options, target="host:1", request_id="r1")
    return drive(flow, *replies)


def test_a_model_without_a_suffix_is_asked_for_once_and_remembered():
    models = ModelDirectory()
    commands, signature = unary(spec(version="2"), config_reply(decoupled=False), models=models)
    assert asked(commands) == [("ModelConfig", "llm")]
    assert (commands[0].request.version, commands[0].metadata) == ("2", METADATA)
    assert unary(spec(), models=models) == ([], signature)
    models.forget("llm")
    assert len(unary(spec(), config_reply(), models=models)[0]) == 1


def test_the_twin_that_answers_at_once_is_meant_before_the_one_that_streams():
    commands, signature = unary(spec("gpt.streaming"), config_reply(decoupled=False, name="gpt"))
    assert asked(commands) == [("ModelConfig", "gpt")]
    assert (signature.name, signature.decoupled) == ("gpt", False)


def test_without_a_twin_the_model_that_streams_is_meant():
    commands, signature = unary(spec("gpt.streaming"), not_found(), config_reply(name="gpt.streaming"))
    assert asked(commands) == [("ModelConfig", "gpt"), ("ModelConfig", "gpt.streaming")]
    assert (signature.name, signature.decoupled) == ("gpt.streaming", True)


def test_the_twin_is_remembered_under_the_name_that_was_asked_for():
    models = ModelDirectory()
    unary(spec("gpt.streaming"), config_reply(decoupled=False, name="gpt"), models=models)
    assert remembers(models, "gpt.streaming")
    assert not remembers(models, "gpt")


def test_the_signature_has_the_name_to_send_whatever_the_server_calls_it():
    assert unary(spec(), config_reply(name="alias"))[1].name == "llm"


def test_a_model_without_config_is_taken_to_answer_once():
    _, signature = unary(spec(), unimplemented(), wire.pb.ModelMetadataResponse(name="llm"))
    assert not signature.decoupled


def test_a_request_with_a_signature_of_its_own_asks_nothing_and_is_not_remembered():
    models, own = ModelDirectory(), ModelSignature("own", {}, {})
    assert unary(spec(), models=models, options=replace(OPTIONS, signature=own)) == ([], own)
    assert not remembers(models)


def test_a_model_that_is_not_there_is_the_last_error_with_the_hint_and_the_facts_of_the_call():
    last = not_found()
    last.__cause__ = RuntimeError("of gRPC")
    with pytest.raises(ModelUnavailableError, match="mine") as caught:
        unary(hinted("gpt.streaming"), not_found(), last)
    error = caught.value
    assert (error.model, error.target, error.request_id) == ("gpt.streaming", "host:1", "r1")
    assert error.__cause__ is last.__cause__


def test_a_failure_that_is_not_about_the_model_is_not_answered_with_a_second_question():
    models = ModelDirectory()
    with pytest.raises(ConnectionFailedError) as caught:
        unary(spec("gpt.streaming"), ConnectionFailedError("gone"), models=models)
    assert caught.value.model == "gpt.streaming"
    assert not remembers(models, "gpt.streaming")


# The twin that streams


@pytest.mark.parametrize(("ready", "twin"), [(True, "gpt.streaming"), (False, None)])
def test_the_twin_that_streams_is_named_where_it_is_ready(ready, twin):
    commands, found = drive(streaming_twin(spec("gpt"), METADATA), wire.pb.ModelReadyResponse(ready=ready))
    assert found == twin
    assert asked(commands) == [("ModelReady", "gpt.streaming")]
    assert commands[0].metadata == METADATA


def test_a_model_that_streams_is_not_its_own_twin():
    assert drive(streaming_twin(spec("gpt.streaming"), METADATA)) == ([], None)


# What a model takes and gives


def test_a_model_is_described_by_its_config_in_one_call():
    commands, signature = drive(
        describe_model("llm", "2", timeout=3.0, metadata=METADATA), config_reply(decoupled=False)
    )
    assert (signature.name, signature.decoupled) == ("llm", False)
    (command,) = commands
    assert (command.method, command.timeout, command.metadata) == ("ModelConfig", 3.0, METADATA)
    assert (command.request.name, command.request.version) == ("llm", "2")


def test_a_server_without_configs_is_asked_for_the_metadata():
    commands, signature = drive(
        describe_model("llm", "2", timeout=3.0, metadata=METADATA),
        unimplemented(),
        wire.pb.ModelMetadataResponse(name="llm"),
    )
    assert signature.decoupled
    assert [command.method for command in commands] == ["ModelConfig", "ModelMetadata"]
    assert (commands[1].request.name, commands[1].request.version) == ("llm", "2")
    assert (commands[1].timeout, commands[1].metadata) == (3.0, METADATA)


@pytest.mark.parametrize(
    "error",
    [
        ModelUnavailableError("no such model", status="NOT_FOUND"),
        RequestRejectedError("bad", status="INVALID_ARGUMENT"),
        ConnectionFailedError("gone"),
    ],
)
def test_other_failures_are_not_answered_with_a_second_call(error):
    with pytest.raises(type(error)) as caught:
        drive(describe_model("llm"), error)
    assert caught.value is error
