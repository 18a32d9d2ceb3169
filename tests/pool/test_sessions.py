"""Requests that belong together: sessions that stay with their server, and sequences that must."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack

import pytest
from inference.tensor_server import TensorServer, repeat, signature
from pool.conftest import counts_return_to_zero, states, until

from nupic_client import (
    ConnectionFailedError,
    Conversation,
    InferenceClient,
    ModelUnavailableError,
    RequestError,
    StreamingClient,
)
from nupic_client.testing import EndpointGroup, silence

MODELS = (
    signature("sum", {"x": ("INT32", (1,))}),
    signature("sums", {"x": ("INT32", (-1,))}, {"x": ("INT32", (1,))}, decoupled=True),
)


@pytest.fixture
def group():
    with EndpointGroup(3) as group:
        yield group


@pytest.fixture
def client(group):
    with StreamingClient("gpt.streaming", group.urls, balancing="sticky") as client:
        yield client


def home(flavour, client, session, prompt="hi"):
    return flavour(client).run("generate", prompt, session=session).endpoint


def test_a_session_keeps_its_server_over_a_death_and_returns(group, client, flavour):
    sessions = [f"session {number}" for number in range(24)]
    before = {session: home(flavour, client, session) for session in sessions}
    assert len({*before.values()}) == 3
    assert {session: home(flavour, client, session) for session in sessions} == before
    dead = group.urls[0]
    group.kill(0)
    during = {session: home(flavour, client, session) for session in sessions}
    moved = [session for session in sessions if during[session] != before[session]]
    assert moved == [session for session in sessions if before[session] == dead]
    assert {session: home(flavour, client, session) for session in sessions} == during
    group.start_again(0)
    until(lambda: home(flavour, client, sessions[0]) and states(client)[dead] == "up")
    until(lambda: {session: home(flavour, client, session) for session in sessions} == before)


def test_all_clients_agree_about_the_server_of_a_session(group, flavour):
    homes = set()
    for urls in (group.urls, group.urls[::-1]):
        with StreamingClient("gpt.streaming", urls, balancing="sticky") as client:
            homes.add(home(flavour, client, "mine"))
    assert len(homes) == 1


def test_a_session_that_everybody_uses_does_not_drown_its_server(group, client):
    for server in group:
        server.reply = ["x", silence()]
    with ExitStack() as stack:
        streams = [stack.enter_context(client.stream("hi", session="hot")) for _ in range(30)]
        loads = Counter(stream._session.target for stream in streams)
        assert len(loads) == 3
        assert max(loads.values()) <= 1.25 * 30 / 3 + 1
    with counts_return_to_zero(client):
        pass


def test_prompts_with_the_same_beginning_go_to_the_same_server(group, client, flavour):
    document = "a long document " * 200
    assert len({home(flavour, client, None, document + str(number)) for number in range(6)}) == 1
    assert len({home(flavour, client, None, f"{number}: {document}") for number in range(24)}) == 3


def test_a_conversation_is_a_session(group, flavour):
    with StreamingClient("gpt.streaming", group.urls, balancing="sticky", formatter="chatml") as client:
        client_of = {}
        for number in range(12):
            conversation = Conversation(client)
            ends = set()
            for text in ("a", "b", "c"):
                if flavour.name == "async":
                    ends.add(asyncio.run(conversation.agenerate(text)).endpoint)
                else:
                    ends.add(conversation.generate(text).endpoint)
            assert len(ends) == 1
            client_of[number] = ends.pop()
        assert len({*client_of.values()}) > 1


def test_a_session_says_nothing_to_other_balancings(group, flavour):
    with StreamingClient("gpt.streaming", group.urls, balancing="round-robin") as client:
        assert len({home(flavour, client, "mine") for _ in range(6)}) == 3


# Sequences


@pytest.fixture
def servers():
    with ExitStack() as stack:
        servers = [stack.enter_context(TensorServer(*MODELS)) for _ in range(2)]
        for server in servers:
            server.stream = lambda request: repeat(request)
        yield servers


def send(flavour, sequence, number, **options):
    if flavour.name == "async":
        return asyncio.run(sequence.ainfer([number], **options))
    return sequence.infer([number], **options)


def test_a_sequence_stays_on_one_server(servers, flavour):
    with (
        InferenceClient("sum", [server.url for server in servers], balancing="round-robin") as client,
        counts_return_to_zero(client),
    ):
        for _ in range(4):
            with client.sequence() as sequence:
                before = [len(server.requests) for server in servers]
                for number in range(5):
                    send(flavour, sequence, number, end=number == 4)
                    client.infer([7])  # others go elsewhere in between
                grew = [
                    sum("sequence_id" in request.parameters for request in server.requests[count:])
                    for server, count in zip(servers, before, strict=True)
                ]
                assert sorted(grew) == [0, 5]


def test_sequences_are_shared_among_the_servers(servers, flavour):
    with InferenceClient("sum", [server.url for server in servers], balancing="round-robin") as client:
        homes = set()
        for _ in range(6):
            sequence = client.sequence()
            send(flavour, sequence, 1, end=True)
            homes.add(sequence._state.pin.address)
        assert homes == {server.url for server in servers}


def test_streams_of_a_sequence_stay_there_too(servers, flavour):
    with (
        InferenceClient("sums", [server.url for server in servers], balancing="round-robin") as client,
        counts_return_to_zero(client),
    ):
        sequence = client.sequence()
        for number in range(4):
            if flavour.name == "async":

                async def read(number=number):
                    async with sequence.ainfer_stream([number]) as stream:
                        return [result async for result in stream]

                asyncio.run(read())
            else:
                with sequence.infer_stream([number]) as stream:
                    list(stream)
        counts = [sum("sequence_id" in r.parameters for r in server.requests) for server in servers]
        assert sorted(counts) == [0, 4]


def test_a_sequence_whose_server_dies_fails_and_is_never_continued_elsewhere(flavour):
    with EndpointGroup(2) as group, InferenceClient("gpt", group.urls) as client:
        inputs = {"text_input": ["hi"], "max_tokens": [3]}

        def step(sequence):
            if flavour.name == "async":
                return asyncio.run(sequence.ainfer(inputs))
            return sequence.infer(inputs)

        sequence = client.sequence()
        step(sequence)
        index = group.index_of(sequence._state.pin.address)
        group.kill(index)
        with counts_return_to_zero(client):
            for _ in range(3):
                with pytest.raises((ConnectionFailedError, ModelUnavailableError)) as caught:
                    step(sequence)
                assert {attempt.endpoint for attempt in caught.value.attempts} == {group.urls[index]}
        assert group.shares[1 - index] == 0
        group.start_again(index)

        def works():
            try:
                return step(sequence)
            except RequestError:
                return None

        until(works)
        assert group.shares[1 - index] == 0


def test_a_sequence_that_could_not_start_starts_elsewhere(flavour):
    """Nothing of it is on the server that refused its first request."""
    with EndpointGroup(2) as group, InferenceClient("gpt", group.urls, balancing="round-robin") as client:
        inputs = {"text_input": ["hi"], "max_tokens": [3]}

        def step(sequence):
            if flavour.name == "async":
                return asyncio.run(sequence.ainfer(inputs))
            return sequence.infer(inputs)

        client.infer(inputs)
        client.infer(inputs)
        group.kill(0)
        for _ in range(4):  # one of them meets the dead server
            sequence = client.sequence()
            try:
                step(sequence)
            except ConnectionFailedError:
                step(sequence)
            assert sequence._state.pin.address == group.urls[1]
