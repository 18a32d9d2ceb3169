"""Who gets how many requests, and what is told about it."""

from __future__ import annotations

import itertools
import threading
from collections import Counter

import pytest
from pool.conftest import counts_return_to_zero, running, states, until

from nupic_client import ConfigurationError, InferenceClient, ServerClient, StreamingClient
from nupic_client.testing import EndpointGroup, silence, sleep

INPUTS = {"text_input": ["hi"], "max_tokens": [3]}


@pytest.mark.parametrize("count", [2, 3])
def test_streams_that_run_at_the_same_time_are_shared_evenly(flavour, count):
    release = threading.Event()

    def answer(request):
        yield "first"
        release.wait(60)
        yield " last"

    with EndpointGroup(count, answer) as group, StreamingClient("gpt.streaming", group.urls) as client:
        with counts_return_to_zero(client):
            streams = [client.stream("hi") for _ in range(4 * count)]
            assert running(client) == [4] * count
            release.set()
            for stream in streams:
                assert "".join(stream) == "first last"
        assert group.shares == [4] * count
        results = [stream.result() for stream in streams]
        assert sorted(result.endpoint for result in results) == sorted(group.urls * 4)
        group_before = group.shares
        assert len(flavour(client).many(2 * count, "hi")) == 2 * count
        assert [now - before for now, before in zip(group.shares, group_before, strict=True)] == [2] * count
        assert {*states(client).values()} == {"up"}
        assert all(endpoint.time_to_first_token is not None for endpoint in client.endpoints())


@pytest.mark.parametrize("method", ["generate", "infer"])
def test_requests_one_after_the_other_reach_all_servers(flavour, method):
    with EndpointGroup(2) as group, InferenceClient("gpt", group.urls, balancing="round-robin") as client:
        call = {
            "generate": lambda: flavour(client).run("generate", "hi").endpoint,
            "infer": lambda: flavour(client).run("infer", INPUTS),
        }[method]
        with counts_return_to_zero(client):
            for _ in range(6):
                call()
        assert sum(group.shares) == 6
        assert min(group.shares) >= 2


def test_a_map_keeps_all_servers_busy(flavour):
    with EndpointGroup(3, [sleep(0.01), "x"]) as group, InferenceClient("gpt", group.urls) as client:
        with counts_return_to_zero(client):
            results = flavour(client).map([INPUTS] * 60, concurrency=6)
        assert len(results) == 60
        assert sum(group.shares) == 60
        assert min(group.shares) >= 10


def test_streams_of_results_are_shared(flavour):
    with (
        EndpointGroup(2) as group,
        InferenceClient("gpt.streaming", group.urls, balancing="round-robin") as client,
    ):
        with counts_return_to_zero(client):
            for _ in range(6):
                assert flavour(client).results(INPUTS)
        assert group.shares == [3, 3]


def test_a_server_at_half_speed_gets_fewer(flavour):
    with EndpointGroup(2) as group, InferenceClient("gpt", group.urls) as client:
        group[0].reply = [sleep(0.03), "slow"]
        group[1].reply = ["fast"]
        flavour(client).map([INPUTS] * 60, concurrency=4)
        slow, fast = group.shares
        assert slow + fast == 60
        assert slow < fast


def test_a_busy_server_gets_nothing_while_others_are_idle(client, group, flavour):
    group[0].reply = group[1].reply = ["x", silence()]
    held = client.stream("hi")
    next(held)
    busy = running(client).index(1)
    for server in group:
        server.reply = ["fine"]
    for _ in range(5):
        flavour(client).run("generate", "hi")
    assert group.shares[busy] == 1
    held.close()
    with counts_return_to_zero(client):
        pass


def test_round_robin_takes_each_in_turn(group, flavour):
    with StreamingClient("gpt.streaming", group.urls, balancing="round-robin") as client:
        called = [flavour(client).run("generate", "hi").endpoint for _ in range(6)]
        assert all(first != second for first, second in itertools.pairwise(called))


def test_a_result_names_its_server_and_the_attempt(client, group, flavour):
    generation = flavour(client).run("generate", "hi")
    assert generation.endpoint in group.urls
    ((endpoint, status, seconds),) = generation.attempts
    assert (endpoint, status) == (generation.endpoint, "OK")
    assert seconds >= 0


@pytest.mark.parametrize("streamed", [False, True], ids=["once", "streamed"])
def test_a_result_of_arrays_names_its_server(flavour, streamed):
    with (
        EndpointGroup(3) as group,
        InferenceClient(
            "gpt.streaming" if streamed else "gpt", group.urls, balancing="round-robin"
        ) as client,
    ):
        caller = flavour(client)
        if streamed:
            named = [caller.results(INPUTS)[0].endpoint for _ in range(6)]
        else:
            named = [caller.run("infer", INPUTS).endpoint for _ in range(3)]
            named += [result.endpoint for result in caller.map([INPUTS] * 6)]
            named += [part.rows(0, 1).endpoint for part in caller.map([INPUTS] * 2, batch_size=1)]
        assert [Counter(named)[url] for url in group.urls] == group.shares
        assert min(group.shares) >= 2


def test_a_result_after_a_failure_names_the_server_that_answered(flavour):
    with EndpointGroup(2) as group, InferenceClient("gpt", group.urls, balancing="round-robin") as client:
        client.infer(INPUTS)
        group[0].stop()
        assert {flavour(client).run("infer", INPUTS).endpoint for _ in range(4)} == {group.urls[1]}


def test_before_the_first_call_nothing_is_known_and_nothing_was_sent(client, group):
    client.endpoints()
    assert [server.calls for server in group] == [(), ()]


def test_a_client_of_one_server_has_no_pool(group):
    with StreamingClient("gpt.streaming", group.urls[0]) as client:
        assert client._pool is None
        assert [endpoint.address for endpoint in client.endpoints()] == [group.urls[0]]
        assert client.generate("hi").endpoint == group.urls[0]
    with InferenceClient("gpt", group.urls[0]) as client:
        assert client.infer(INPUTS).endpoint == group.urls[0]


def test_a_list_with_one_server_twice_is_one(group):
    with StreamingClient("gpt.streaming", [group.urls[0]] * 2) as client:
        assert client._pool is None


def test_a_limit_makes_a_pool_of_one(group, flavour):
    with StreamingClient("gpt.streaming", group.urls[0], max_outstanding=1) as client:
        assert flavour(client).run("generate", "hi").text == "Hello"
        assert running(client) == [0]


@pytest.mark.parametrize(
    ("argument", "value"), [("balancing", "random"), ("max_outstanding", 0), ("max_outstanding", 1.5)]
)
def test_wrong_arguments_are_refused(argument, value):
    with pytest.raises(ConfigurationError, match=argument):
        StreamingClient("gpt", ["a:1", "b:1"], **{argument: value})


def test_a_server_client_answers_for_any_of_them(group, flavour):
    with ServerClient(group.urls) as client:
        for _ in range(4):
            assert flavour(client).run("is_ready") is True
        group.kill(0)
        for _ in range(4):
            assert flavour(client).run("is_live") is True
        assert {address: each.is_live() for address, each in client.each().items()} == dict(
            zip(group.urls, [False, True], strict=True)
        )


def test_a_client_that_does_nothing_sends_nothing(client, group):
    client.generate("hi")
    group.set_ready(0, False)
    for _ in range(4):
        client.generate("hi")
    until(lambda: "quarantined" in str(client.endpoints()) or True)
    calls = [len(server.calls) for server in group]
    threading.Event().wait(0.5)
    assert [len(server.calls) for server in group] == calls
