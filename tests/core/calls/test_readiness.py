"""Waiting until a server and a model are ready."""

from __future__ import annotations

import pytest
from core.replies import asked, unimplemented

from nupic_client._core.calls.flows import Invoke, ReadClock, Sleep
from nupic_client._core.calls.readiness import wait_until_ready
from nupic_client._core.kserve import wire
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
)

METADATA = (("authorization", "Bearer secret"),)


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
