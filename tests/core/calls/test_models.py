"""Which model a name means, and the questions to the server for that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core.replies import drive, remembers

from nupic_client._core.calls.flows import Invoke, ReadClock, Sleep
from nupic_client._core.calls.models import (
    ModelDirectory,
    candidates,
    describe_model,
    streaming_twin,
    wait_until_ready,
)
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.kserve import wire
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
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


def unimplemented():
    return RequestRejectedError("the server does not offer this call", status="UNIMPLEMENTED")


def not_found(**facts):
    return ModelUnavailableError("no such model", status="NOT_FOUND", **facts)


def index(*names):
    return wire.pb.RepositoryIndexResponse(models=[{"name": name} for name in names])


def spec(name="llm", **more):
    return ModelSpec(name=name, **more)


def hinted(name):
    """Return a model that the registry does not know."""
    return ModelRegistry([ModelSpec(name="mine")]).resolve(name)


def asked(commands):
    """Return the methods and the names of the models they asked for."""
    return [(command.method, getattr(command.request, "name", "")) for command in commands]


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


# Waiting until ready


class Server:
    """A server that becomes ready at some time of a clock that only sleeping and calling move."""

    def __init__(self, script, call_takes=0.0):
        self.script = script
        self.call_takes = call_takes
        self.now = 1000.0
        self.commands = []

    def run(self, flow):
        try:
            command = next(flow)
            while True:
                self.commands.append(command)
                reply = self.perform(command)
                command = flow.throw(reply) if isinstance(reply, Exception) else flow.send(reply)
        except StopIteration as stop:
            return stop.value

    def perform(self, command):
        if isinstance(command, ReadClock):
            return self.now
        if isinstance(command, Sleep):
            assert command.seconds > 0
            self.now += command.seconds
            return None
        self.now += min(self.call_takes, command.timeout)
        return self.script(command, self.now - 1000.0)

    @property
    def pauses(self):
        return [command.seconds for command in self.commands if isinstance(command, Sleep)]


def ready_from(moment, problem):
    """Script a server that answers with a problem until a moment."""

    def script(command, now):
        response = wire.METHODS[command.method][1]
        if now < moment and command.method in problem:
            found = problem[command.method]
            return found if isinstance(found, Exception) else response(ready=False)
        return response(ready=True)

    return script


def wait(server, timeout=60.0):
    return server.run(wait_until_ready("llm", timeout=timeout, target="host:8001", metadata=METADATA))


def test_a_ready_server_is_asked_once():
    server = Server(ready_from(0, {}))
    wait(server)
    calls = [command for command in server.commands if isinstance(command, Invoke)]
    assert [call.method for call in calls] == ["ServerReady", "ModelReady"]
    assert calls[1].request.name == "llm"
    assert {call.metadata for call in calls} == {METADATA}
    assert server.pauses == []


@pytest.mark.parametrize(
    "problem",
    [
        {"ServerReady": False},
        {"ModelReady": False},
        {"ServerReady": ConnectionFailedError("refused", retryable=True)},
        {"ModelReady": ModelUnavailableError("loading")},
        {"ServerReady": DeadlineExceededError("slow")},
        {"ServerReady": OverloadedError("busy", status="RESOURCE_EXHAUSTED")},
        {"ModelReady": InferenceError("hm", status="INTERNAL")},
    ],
)
def test_what_may_pass_is_waited_for(problem):
    server = Server(ready_from(3.0, problem))
    wait(server)
    assert 3.0 <= server.now - 1000.0 < 4.0


def test_the_pauses_grow_from_a_twentieth_of_a_second_to_one():
    server = Server(ready_from(10.0, {"ServerReady": False}))
    wait(server)
    assert server.pauses[:3] == pytest.approx([0.05, 0.075, 0.1125])
    assert server.pauses == sorted(server.pauses)
    assert server.pauses[-1] == 1.0


@pytest.mark.parametrize(
    "error",
    [AuthenticationError("who?", status="UNAUTHENTICATED"), unimplemented()],
    ids=["credentials", "no such call"],
)
def test_what_waiting_cannot_help_is_raised_at_once(error):
    server = Server(ready_from(3.0, {"ServerReady": error}))
    with pytest.raises(type(error)):
        wait(server)
    assert server.pauses == []


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ({"ServerReady": False}, "the server says it is not ready"),
        ({"ModelReady": False}, "no model 'llm' that is ready"),
        (
            {"ServerReady": ConnectionFailedError("cannot reach the server", retryable=True)},
            "cannot reach the server",
        ),
    ],
)
def test_after_the_timeout_the_error_says_what_was_missing(problem, words):
    with pytest.raises(DeadlineExceededError, match=words) as caught:
        wait(Server(ready_from(999.0, problem)), timeout=2.0)
    found = caught.value
    assert (found.model, found.target, found.limit) == ("llm", "host:8001", 2.0)


def test_without_a_timeout_it_waits_without_limit():
    server = Server(ready_from(10_000.0, {"ServerReady": False}))
    wait(server, timeout=None)
    assert server.now - 1000.0 >= 10_000.0


def test_a_call_that_hangs_is_given_up_after_five_seconds():
    server = Server(ready_from(0, {}))
    wait(server, timeout=None)
    assert {command.timeout for command in server.commands if isinstance(command, Invoke)} == {5.0}


def test_it_waits_to_the_end_of_the_timeout_and_asks_once_more():
    server = Server(ready_from(2.0, {"ServerReady": False}))
    wait(server, timeout=2.0)
    assert server.now - 1000.0 == pytest.approx(2.0)


def test_it_gives_up_when_the_timeout_is_over():
    server = Server(ready_from(999.0, {"ServerReady": False}))
    with pytest.raises(DeadlineExceededError) as caught:
        wait(server, timeout=2.0)
    assert caught.value.elapsed == pytest.approx(2.0)


def test_calls_that_hang_do_not_make_it_much_longer_than_the_timeout():
    server = Server(ready_from(999.0, {"ServerReady": DeadlineExceededError("slow")}), call_takes=60.0)
    with pytest.raises(DeadlineExceededError):
        wait(server, timeout=7.0)
    assert server.now - 1000.0 == pytest.approx(7.0, abs=0.2)


def test_without_a_model_only_the_server_is_waited_for():
    server = Server(ready_from(0, {}))
    server.run(wait_until_ready("", timeout=5.0, target="host:8001"))
    assert [command.method for command in server.commands if isinstance(command, Invoke)] == ["ServerReady"]


def test_a_twin_that_is_ready_will_do():
    server = Server(ready_from(0, {}))
    server.run(wait_until_ready("gpt.streaming", timeout=5.0, target="host:8001", twin="gpt"))
    assert asked(command for command in server.commands if isinstance(command, Invoke)) == [
        ("ServerReady", ""),
        ("ModelReady", "gpt"),
    ]


@pytest.mark.parametrize(("twin", "names"), [("gpt", ["gpt", "llm"]), ("llm", ["llm"]), ("", ["llm"])])
def test_where_the_twin_is_not_ready_the_model_is_asked_too_and_no_name_twice(twin, names):
    server = Server(ready_from(0.04, {"ModelReady": False}))
    server.run(wait_until_ready("llm", timeout=5.0, target="host:8001", twin=twin))
    found = asked(command for command in server.commands if isinstance(command, Invoke))
    assert [name for method, name in found if method == "ModelReady"] == [*names, names[0]]


def test_a_certificate_that_is_wrong_is_not_waited_for():
    server = Server(ready_from(3.0, {"ServerReady": ConnectionFailedError("certificate", retryable=False)}))
    with pytest.raises(ConnectionFailedError):
        wait(server)
    assert server.pauses == []
