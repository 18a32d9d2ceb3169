"""Forked and spawned processes, pickling and copies: configuration travels, connections do not."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import textwrap

import pytest
from facade.conftest import BOTH_KINDS

from nupic_client import (
    TLS,
    Conversation,
    DeadlineExceededError,
    InferenceClient,
    RetryPolicy,
    SamplingParams,
    ServerClient,
    StreamingClient,
    Timeouts,
    errors,
)
from nupic_client.testing import FakeTriton, silence

CLIENT_KINDS = BOTH_KINDS

pytestmark = pytest.mark.fake_only("what a process does does not depend on the server")

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")

PROGRAM = """
    import asyncio, multiprocessing, os, sys
    from nupic_client import InferenceClient, NupicError, ServerClient, StreamingClient

    def child(client, work, answers):
        try:
            answers.put(work(client))
        except NupicError as error:
            answers.put((type(error).__name__, str(error)))

    def generate(client):
        return client.generate("child", timeout=20).text

    def agenerate(client):
        return asyncio.run(client.agenerate("child", timeout=20)).text

    def in_children(method, work, client, count=4):
        context = multiprocessing.get_context(method)
        answers = context.SimpleQueue()
        children = [context.Process(target=child, args=(client, work, answers)) for _ in range(count)]
        for process in children:
            process.start()
        for process in children:
            process.join(60)
        codes = [process.exitcode for process in children]
        assert codes == [0] * count, codes
        return [answers.get() for _ in children]

    if __name__ == "__main__":
        client = StreamingClient("gpt.streaming", url=sys.argv[1], timeout=30)
"""


def run(tmp_path, server, main):
    """Run a program of its own; what it prints to stderr, crashes and hangs are failures."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM) + textwrap.indent(textwrap.dedent(main), "    "))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(program), server.url],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def answer(request):
    return ["one", " two", silence()] if request.prompt == "endless" else ["one", " two"]


@pytest.fixture
def server():
    with FakeTriton(answer) as server:
        yield server


@pytest.mark.slow
@posix
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("work", ["generate", "agenerate"])
def test_a_client_that_was_used_works_in_children(tmp_path, server, method, work):
    run(
        tmp_path,
        server,
        f"""
        assert generate(client) == "one two"
        assert in_children({method!r}, {work}, client) == ["one two"] * 4
        assert generate(client) == "one two"
        """,
    )


@pytest.mark.slow
@posix
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("work", ["generate", "agenerate"])
def test_children_of_a_parent_in_mid_stream(tmp_path, server, method, work):
    run(
        tmp_path,
        server,
        f"""
        stream = client.stream("endless")
        assert next(stream) == "one"
        assert in_children({method!r}, {work}, client) == ["one two"] * 4
        assert next(stream) == " two"
        stream.close()
        """,
    )
    server.wait_for_cancellation()


@posix
def test_the_stream_of_the_parent_is_refused_in_a_child_and_goes_on_in_the_parent(tmp_path, server):
    run(
        tmp_path,
        server,
        """
        stream = client.stream("endless")
        assert next(stream) == "one"
        [(name, text)] = in_children("fork", lambda _: next(stream), client, count=1)
        assert name == "StreamClosedError" and "forked" in text, text
        def drop(_):
            global stream
            stream.close()
            del stream
            client.close()
            return "dropped"
        assert in_children("fork", drop, client, count=1) == ["dropped"]
        assert next(stream) == " two", "the child must not cancel what is the parent's"
        print(stream.request_id)
        """,
    )
    assert len(server.requests) == 1


@posix
def test_results_of_the_parent_are_refused_in_a_child(tmp_path, server):
    run(
        tmp_path,
        server,
        """
        client = InferenceClient("gpt", url=sys.argv[1])
        results = client.map([["a"]] * 8, concurrency=2)
        next(results)
        [(name, _)] = in_children("fork", lambda _: next(results), client, count=1)
        assert name == "StreamClosedError"
        assert len(list(results)) == 7
        """,
    )


@pytest.mark.slow
@posix
@pytest.mark.parametrize("work", ["generate", "agenerate"])
def test_a_child_of_a_parent_that_made_async_calls_is_told_at_once(tmp_path, server, work):
    run(
        tmp_path,
        server,
        f"""
        assert agenerate(client) == "one two"
        for name, text in in_children("fork", {work}, client):
            assert name == "ConfigurationError" and "spawn" in text, text
        assert in_children("spawn", {work}, client) == ["one two"] * 4
        assert agenerate(client) == "one two"
        """,
    )


@posix
def test_a_plain_fork_that_ends_like_a_program(tmp_path, server):
    run(
        tmp_path,
        server,
        """
        servers = ServerClient(sys.argv[1])
        assert servers.is_live()
        stream = client.stream("endless")
        next(stream)
        pid = os.fork()
        if pid == 0:
            assert generate(client) == "one two"
            assert servers.is_live()
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert next(stream) == " two"
        """,
    )


def clients(url):
    return {
        "streaming": StreamingClient(
            "zephyr",
            url=url,
            backend="vllm",
            channel_options={"grpc.keepalive_time_ms": 400_000},
            timeout=Timeouts(total=7, between_tokens=3),
            max_retries=RetryPolicy(max_retries=1),
            metadata={"x-tenant": "blue"},
            backend_inputs={"extra": 3},
            temperature=0.25,
            stop=["END"],
        ),
        "inference": InferenceClient("gpt", url=url, text="bytes", max_tokens=4),
        "server": ServerClient(url, timeout=5, metadata={"x-tenant": "blue"}),
    }


@pytest.mark.parametrize("name", ["streaming", "inference", "server"])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_client_copies_its_configuration(name, duplicate):
    with clients("localhost:1")[name] as client, duplicate(client) as other:
        assert type(other) is type(client)
        assert other._config == client._config
        assert other._transport is not client._transport
        assert other._async_transport is not client._async_transport
        if name != "server":
            assert other._options == client._options
            assert other._spec == client._spec


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_has_its_own_connection_and_asks_the_server_itself(client, server, duplicate):
    assert client.generate("x").text == "one two"
    other = duplicate(client)
    client.close()
    server.clear()
    with other:
        assert other.generate("x").text == "one two"
    assert "ModelConfig" in server.calls


def test_a_twin_shares_the_connection_as_before(client):
    twin = client.with_options(max_tokens=3)
    assert twin._transport is client._transport
    assert twin._models is client._models


def test_a_copy_of_a_closed_client_is_open(client):
    client.close()
    with copy.deepcopy(client) as other:
        assert other.generate("x").text == "one two"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_conversation_copies_what_was_said(server, duplicate):
    with StreamingClient("gpt.streaming", url=server.url, formatter="chatml") as client:
        conversation = Conversation(client, system="be brief")
        conversation.generate("hello")
        stream = conversation.stream("more")
        next(stream)
        other = duplicate(conversation)
        stream.close()
        with other._client:
            assert (other.system, len(other.messages)) == ("be brief", 2)
            other.generate("and you?")
            assert len(other.messages) == 4
            assert other._client._transport is not client._transport


def test_configuration_values_survive_a_pickle():
    for value in (
        Timeouts(total=3),
        RetryPolicy(max_retries=1),
        SamplingParams(stop=("a",)),
        TLS(target_name="gpt.example.com"),
    ):
        assert pickle.loads(pickle.dumps(value)) == value
        assert copy.deepcopy(value) == value


def test_a_signature_survives_a_pickle(server):
    with ServerClient(server.url) as asking:
        signature = asking.signature("gpt.streaming")
    assert pickle.loads(pickle.dumps(signature)) == signature == copy.deepcopy(signature)


@pytest.mark.parametrize("kind", [getattr(errors, name) for name in errors.__all__])
def test_every_error_survives_a_pickle(kind):
    error = kind("what happened")
    if isinstance(error, errors.RequestError):
        error = error.with_facts(partial_text="so far", model="gpt")
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), str(other), vars(other)) == (kind, str(error), vars(error))
    assert repr(error) != f"{kind.__name__}()"


def test_the_error_of_a_stream_survives_a_pickle(read, client, server):
    server.reply = ["one", silence()]
    with pytest.raises(DeadlineExceededError) as caught:
        read(client, "x", timeout=Timeouts(between_tokens=0.1))
    other = pickle.loads(pickle.dumps(caught.value))
    assert (str(other), vars(other)) == (str(caught.value), vars(caught.value))
    assert other.partial_text == "one"
