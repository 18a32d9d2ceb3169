"""Two real Tritons behind one client: one dies, one unloads its model, and a sequence stays where its state is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import triton
from pool.conftest import counts_return_to_zero, states, until
from triton.fixtures import needs_triton, serve_real
from triton.server import TritonServer

from nupic_client import ConnectionFailedError, InferenceClient, ServerClient, StreamingClient
from nupic_client.testing import silence

__all__ = ["needs_triton", "serve_real"]

NUMBERS = Path(triton.__file__).parent / "numbers"


@pytest.fixture
def servers(serve_real):
    options = ["--model-control-mode=explicit", "--load-model=gpt", "--load-model=gpt.streaming"]
    return [serve_real(["Hel", "lo"], options=options) for _ in range(2)]


def ends(flavour, client, count=6):
    return {flavour(client).run("generate", "hi").endpoint for _ in range(count)}


@pytest.mark.timeout(300, func_only=True)
def test_two_servers_one_of_which_dies_and_one_of_which_loses_its_model(servers, flavour):
    urls = [server.url for server in servers]
    with StreamingClient("gpt.streaming", urls, max_retries=3) as client:
        with counts_return_to_zero(client):
            results = flavour(client).many(6, "hi")
            assert {result.text for result in results} == {"Hello"}
            assert {result.endpoint for result in results} == {*urls}

            # One is not ready: its model is unloaded.
            with ServerClient(urls[0]) as admin:
                admin.unload("gpt.streaming")
                for _ in range(8):
                    assert flavour(client).run("generate", "hi").endpoint == urls[1]
                assert states(client)[urls[0]] == "up"
                admin.load("gpt.streaming")
            until(lambda: flavour(client).run("generate", "hi").endpoint == urls[0])

            # One dies in the middle of an answer, which is an error; what comes later goes to the other.
            for server in servers:
                server.reply = ["Hel", silence()]
            streams = [client.stream("hi") for _ in range(2)]
            assert [next(stream) for stream in streams] == ["Hel", "Hel"]
            assert {stream._session.target for stream in streams} == {*urls}
            cut = next(stream for stream in streams if stream._session.target == urls[0])
            servers[0].server.kill()
            with pytest.raises(ConnectionFailedError) as caught:
                list(cut)
            assert (caught.value.partial_text, caught.value.endpoint) == ("Hel", urls[0])
            for stream in streams:
                stream.close()
            servers[1].reply = ["Hel", "lo"]
            assert ends(flavour, client) == {urls[1]}
            assert states(client)[urls[0]] == "quarantined"

            # It comes back.
            servers[0].restart()
            with ServerClient(urls[0]) as admin:
                admin.wait_until_ready()
            servers[0].reply = ["Hel", "lo"]
            until(lambda: flavour(client).run("generate", "hi").endpoint == urls[0])


@pytest.mark.timeout(300, func_only=True)
def test_a_sequence_stays_on_the_server_that_has_its_state(needs_triton):
    with TritonServer(NUMBERS) as one, TritonServer(NUMBERS) as other:
        urls = [one.url, other.url]
        with InferenceClient("accumulate", urls, balancing="round-robin") as client:
            with counts_return_to_zero(client):
                homes = set()
                for _ in range(4):
                    sequence = client.sequence()
                    total = 0
                    for number in (3, 4, 5):
                        total += number
                        with client.sequence() as another:  # goes on in between, elsewhere too
                            another.infer(np.array([1], dtype=np.int32), end=True)
                        homes.add(another._state.pin.address)
                        result = sequence.infer(np.array([number], dtype=np.int32), end=number == 5)
                        homes.add(sequence._state.pin.address)
                        assert int(result.only.reshape(-1)[0]) == total
                assert homes == {*urls}
