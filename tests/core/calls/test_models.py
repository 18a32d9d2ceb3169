"""Which model a name means, and the questions to the server for that."""

from __future__ import annotations

import pytest
from core.replies import drive

from nupic_client._core.calls.flows import Invoke, ReadClock, Sleep
from nupic_client._core.calls.models import candidates, describe_model, wait_until_ready
from nupic_client._core.kserve import wire
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    RequestRejectedError,
)

METADATA = (("authorization", "Bearer secret"),)
MODELS = ["acme-zephyr-7b.streaming", "acme-zephyr-7b", "llama.streaming"]


def config_reply(decoupled=True):
    response = wire.pb.ModelConfigResponse()
    response.config.name = "llm"
    response.config.model_transaction_policy.decoupled = decoupled
    return response


def unimplemented():
    return RequestRejectedError("the server does not offer this call", status="UNIMPLEMENTED")


def test_upper_and_lower_case_are_the_same():
    assert candidates("ZEPHYR", MODELS) == [MODELS[0]]


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
    server = Server(ready_from(100_000.0, {"ServerReady": False}))
    wait(server, timeout=None)
    assert server.now - 1000.0 >= 100_000.0


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
