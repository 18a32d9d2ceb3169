"""A server dies, is not ready or shuts down: what is saved elsewhere, and what must not be."""

from __future__ import annotations

import contextlib
import threading

import pytest
from inference.tensor_server import signature
from pool.conftest import counts_return_to_zero, running, states, until

from nupic_client import (
    AuthenticationError,
    ConnectionFailedError,
    InferenceClient,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    RequestError,
    RequestRejectedError,
    RetryPolicy,
    StreamingClient,
)
from nupic_client.local.engine import text_signature
from nupic_client.testing import EndpointGroup, FakeTriton, abort, fail, silence

INPUTS = {"text_input": ["hi"], "max_tokens": [3]}
SLOW = RetryPolicy(max_retries=2, initial_backoff=60.0, max_backoff=60.0)
"""With a pause before a retry no test would end in time."""


def alone(group, client, flavour, method="generate"):
    """Let the next request go to server 0 first: the other one is busy. Return what frees that."""
    group[0].reply = group[1].reply = ["x", silence()]
    held = [client.stream("hi") for _ in group]
    for stream in held:
        next(stream)
    for stream in held:
        if stream._session.target == group.urls[0]:
            stream.close()
    until(lambda: running(client)[0] == 0)
    for server in group:
        server.reply = ["Hel", "lo"]
        server.clear()
    return held


DEATHS = {
    "refused": lambda group: group.kill(0),
    "exiting": lambda group: group.set_exiting(0, True),
    "not ready": lambda group: group.set_ready(0, False),
    "UNAVAILABLE": lambda group: setattr(group[0], "reply", [abort("UNAVAILABLE", "gone")]),
    "exiting in the stream": lambda group: setattr(group[0], "reply", [fail("Server exiting")]),
    "overloaded": lambda group: setattr(group[0], "reply", [abort("RESOURCE_EXHAUSTED", "queue is full")]),
}


@pytest.mark.parametrize("death", DEATHS)
def test_what_fails_before_its_first_token_is_saved_elsewhere_without_a_pause(group, flavour, death):
    with StreamingClient("gpt.streaming", group.urls, max_retries=SLOW) as client:
        with counts_return_to_zero(client):
            held = alone(group, client, flavour)
            DEATHS[death](group)
            chunks, generation = flavour(client).stream("hi")
            assert "".join(chunks) == generation.text == "Hello"
            first, second = generation.attempts
            assert [first.endpoint, second.endpoint] == group.urls
            assert first.status not in {"OK", ""} or death == "exiting in the stream"
            assert second.status == "OK"
            assert generation.endpoint == group.urls[1]
            for stream in held:
                stream.close()


@pytest.mark.parametrize("death", [name for name in DEATHS if "stream" not in name])
@pytest.mark.parametrize("method", ["generate", "infer"])
def test_so_is_a_request_with_one_answer(group, flavour, death, method):
    with InferenceClient("gpt", group.urls, max_retries=SLOW, balancing="round-robin") as client:
        argument = "hi" if method == "generate" else INPUTS
        flavour(client).run(method, argument)
        DEATHS[death](group)
        with counts_return_to_zero(client):
            for _ in range(6):
                flavour(client).run(method, argument)


def test_so_are_the_requests_of_a_map(flavour):
    with EndpointGroup(3) as group, InferenceClient("gpt", group.urls, max_retries=SLOW) as client:
        flavour(client).map([INPUTS] * 6)
        group.kill(1)
        with counts_return_to_zero(client):
            assert len(flavour(client).map([INPUTS] * 60, concurrency=6)) == 60


def test_so_are_streams_of_results(group, flavour):
    with InferenceClient("gpt.streaming", group.urls, max_retries=SLOW, balancing="round-robin") as client:
        flavour(client).results(INPUTS)
        group.kill(0)
        for _ in range(4):
            assert flavour(client).results(INPUTS)


def test_so_is_the_question_for_the_signature(group, flavour):
    group.kill(0)
    for _ in range(6):
        with StreamingClient("gpt.streaming", group.urls, max_retries=SLOW) as client:
            assert flavour(client).run("generate", "hi").text == "Hello"


@pytest.mark.parametrize(
    "death", ["kill", [abort("UNAVAILABLE", "gone")], [fail("Server exiting")]], ids=["kill", "abort", "fail"]
)
def test_what_dies_after_its_first_token_is_an_error_with_the_text_and_not_sent_again(flavour, death):
    goes = threading.Event()

    def answer(request):
        yield "Hel"
        goes.wait(60)
        if death != "kill":
            yield death[0]
        yield silence()

    with EndpointGroup(2, answer) as group, StreamingClient("gpt.streaming", group.urls) as client:

        def kill(text):
            victim = group.shares.index(1)
            if death == "kill":
                threading.Thread(target=group.kill, args=(victim,)).start()
            goes.set()

        with counts_return_to_zero(client):
            with pytest.raises(RequestError) as caught:
                flavour(client).run("generate", "hi", callback=kill)
        error = caught.value
        assert error.partial_text == "Hel"
        assert not error.retryable
        assert not error.elsewhere
        assert sum(group.shares) == 1
        assert error.endpoint == group.urls[group.shares.index(1)]
        assert len(error.attempts) == 1


def test_an_error_of_the_model_does_not_travel(flavour):
    with EndpointGroup(2, [fail("engine exploded")]) as group:
        with StreamingClient("gpt.streaming", group.urls) as client:
            with pytest.raises(InferenceError):
                flavour(client).run("generate", "hi")
            assert sum(group.shares) == 1
            assert {*states(client).values()} <= {"up", "unknown"}


def test_neither_does_a_refused_request(group, flavour):
    with InferenceClient("gpt", group.urls) as client:
        flavour(client).run("infer", INPUTS)
        for server in group:
            server.reply = [abort("INVALID_ARGUMENT", "unexpected shape")]
        with pytest.raises(RequestRejectedError):
            flavour(client).run("infer", INPUTS)
        assert sum(group.shares) == 2


def test_neither_does_a_refused_token(flavour):
    with EndpointGroup(2, bearer_tokens={"good"}) as group:
        with StreamingClient("gpt.streaming", group.urls, bearer_token="bad") as client:
            with counts_return_to_zero(client):
                with pytest.raises(AuthenticationError) as caught:
                    flavour(client).run("generate", "hi")
            assert len(caught.value.attempts) == 1
            assert sum(len(server.calls) for server in group) == 1
            assert "quarantined" not in states(client).values()


def test_a_renewed_token_works_on_each_server(flavour):
    """Each server in turn wants another token than the last one."""
    current = ["one"]
    with EndpointGroup(2, ["fine"], bearer_tokens={"one"}) as group:
        with StreamingClient(
            "gpt.streaming", group.urls, bearer_token=lambda: current[0], balancing="round-robin"
        ) as client:
            flavour(client).run("generate", "hi")
            for token in ("two", "three", "four", "five"):
                current[0] = token
                for server in group:
                    server.bearer_tokens = {token}
                generation = flavour(client).run("generate", "hi")
                assert generation.text == "fine"
                assert [attempt.status for attempt in generation.attempts] == ["UNAUTHENTICATED", "OK"]


def test_a_model_that_only_one_server_has_is_found(flavour):
    both, one = text_signature("gpt.streaming"), text_signature("rare")
    with FakeTriton(["a"], models=[both]) as first, FakeTriton(["b"], models=[both, one]) as second:
        with StreamingClient("rare", [first.url, second.url], max_retries=SLOW) as client:
            with counts_return_to_zero(client):
                texts = {flavour(client).run("generate", "hi").text for _ in range(8)}
            assert texts == {"b"}
            # The server is well, but for this model.
            assert {*states(client).values()} <= {"up", "unknown"}


def test_a_model_that_no_server_has_is_said_so_at_once(group, flavour):
    with StreamingClient("unknown", group.urls, max_retries=SLOW) as client:
        with counts_return_to_zero(client), pytest.raises(ModelUnavailableError) as caught:
            flavour(client).run("generate", "hi")
    assert "unknown" in str(caught.value)
    assert sorted(attempt.endpoint for attempt in caught.value.attempts) == sorted(group.urls)


@pytest.mark.parametrize("method", ["generate", "infer"])
def test_when_all_are_down_the_error_lists_what_was_tried(group, flavour, method):
    quick = RetryPolicy(max_retries=2, initial_backoff=0.01)
    with InferenceClient("gpt", group.urls, max_retries=quick) as client:
        flavour(client).run("generate", "hi")
        for index in range(2):
            group.kill(index)
        with counts_return_to_zero(client), pytest.raises(ConnectionFailedError) as caught:
            flavour(client).run(method, "hi" if method == "generate" else INPUTS)
    error = caught.value
    assert {attempt.endpoint for attempt in error.attempts} == {*group.urls}
    assert len(error.attempts) == 3
    assert "attempts 3: " in str(error)
    assert error.retryable


def test_without_retries_a_failure_is_the_callers(group, flavour):
    with StreamingClient("gpt.streaming", group.urls, max_retries=0) as client:
        with counts_return_to_zero(client):
            held = alone(group, client, flavour)
            group.kill(0)
            with pytest.raises(ConnectionFailedError) as caught:
                flavour(client).run("generate", "hi")
            assert len(caught.value.attempts) == 1
            assert caught.value.elsewhere  # for those who try again themselves
            for stream in held:
                stream.close()


def test_a_dead_server_gets_no_requests_of_users_and_comes_back(group, flavour):
    with StreamingClient("gpt.streaming", group.urls) as client:
        for _ in range(4):
            flavour(client).run("generate", "hi")
        group.kill(0)
        until(
            lambda: flavour(client).run("generate", "hi") and states(client)[group.urls[0]] == "quarantined"
        )
        before = group.shares[0]
        for _ in range(10):
            assert len(flavour(client).run("generate", "hi").attempts) == 1
        group.start_again(0)
        # Traffic keeps asking; the first request of a user comes after a probe said "ready".
        until(lambda: flavour(client).run("generate", "hi") and states(client)[group.urls[0]] == "up")
        assert "ServerReady" in group[0].calls
        until(lambda: flavour(client).run("generate", "hi") and group.shares[0] > before)


def test_an_unready_model_gets_no_requests_of_users_and_comes_back(group, flavour):
    with StreamingClient("gpt.streaming", group.urls) as client:
        for _ in range(4):
            flavour(client).run("generate", "hi")
        group[0].models_ready["gpt.streaming"] = False
        address = group.urls[0]

        def out():
            flavour(client).run("generate", "hi")
            views = {view.address: view for view in client.endpoints()}
            return "gpt.streaming" in views[address].quarantined_models

        until(out)
        refused = group.shares[0]
        for _ in range(10):
            assert len(flavour(client).run("generate", "hi").attempts) == 1
        assert group.shares[0] == refused
        group[0].models_ready["gpt.streaming"] = True
        until(lambda: flavour(client).run("generate", "hi") and group.shares[0] > refused)


def test_running_streams_of_a_server_that_shuts_down_go_on(group):
    goes = threading.Event()

    def answer(request):
        yield "Hel"
        goes.wait(60)
        yield "lo"

    for server in group:
        server.reply = answer
    with StreamingClient("gpt.streaming", group.urls) as client:
        streams = [client.stream("hi") for _ in range(2)]
        for stream in streams:
            next(stream)
        group.set_exiting(0, True)
        goes.set()
        for _ in range(5):
            assert client.generate("hi").endpoint == group.urls[1]
        assert states(client)[group.urls[0]] in {"draining", "unknown", "up"}
        assert ["Hel" + "".join(stream) for stream in streams] == ["Hello", "Hello"]


def test_a_client_that_has_been_idle_since_a_death_sends_nothing(client, group):
    for _ in range(4):
        client.generate("hi")
    group.set_exiting(0, True)
    for _ in range(4):
        client.generate("hi")
    until(lambda: "ServerReady" in group[0].calls or client.generate("hi") is None)
    threading.Event().wait(0.3)  # for a probe that is on its way
    calls = [len(server.calls) for server in group]
    threading.Event().wait(1.0)
    assert [len(server.calls) for server in group] == calls


def test_a_model_that_is_busy_everywhere_waits_as_for_one_server(flavour):
    """Overload on all servers is no reason to ask in a tight loop: then there is a pause again."""
    with EndpointGroup(2, [abort("RESOURCE_EXHAUSTED", "queue is full")]) as group:
        quick = RetryPolicy(max_retries=2, initial_backoff=0.01)
        with StreamingClient("gpt.streaming", group.urls, max_retries=quick) as client:
            with counts_return_to_zero(client), pytest.raises(OverloadedError) as caught:
                flavour(client).run("generate", "hi")
        assert len(caught.value.attempts) == 3
        assert group.shares in ([1, 2], [2, 1])


def test_servers_that_differ_about_a_model_are_not_mixed_up(flavour):
    """The signature comes from one of them; what does not fit another is its refusal, and no crash."""
    first = signature("m", {"x": ("FP32", (1,))})
    second = signature("m", {"y": ("FP32", (1,))})
    with FakeTriton(models=[first]) as one, FakeTriton(models=[second]) as other:
        with InferenceClient("m", [one.url, other.url], max_retries=0) as client:
            for _ in range(4):
                with contextlib.suppress(RequestError):
                    flavour(client).run("infer", [1.0])
            until(lambda: not any(running(client)))
