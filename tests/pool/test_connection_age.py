"""Servers that end connections by their age, as Triton's ``--grpc-max-connection-age``: a client notices nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from pool.conftest import counts_return_to_zero, states

from nupic_client import InferenceClient, RequestError, StreamingClient
from nupic_client.testing import EndpointGroup, sleep

INPUTS = {"text_input": ["hi"], "max_tokens": [3]}
AGE = {"grpc.max_connection_age_ms": 150}
GRACE = {"grpc.max_connection_age_grace_ms": 100}


@pytest.mark.parametrize("options", [AGE, AGE | GRACE], ids=["no grace", "grace"])
def test_short_requests_never_fail(flavour, options):
    with EndpointGroup(2, [sleep(0.005), "x"], server_options=options) as group:
        with InferenceClient("gpt", group.urls, max_retries=3) as client, counts_return_to_zero(client):
            assert len(flavour(client).map([INPUTS] * 300, concurrency=4)) == 300
            assert {*states(client).values()} == {"up"}


def test_streams_end_as_they_would_without_a_grace(flavour):
    with EndpointGroup(2, ["a", sleep(0.4), "b"], server_options=AGE) as group:
        with StreamingClient("gpt.streaming", group.urls) as client, counts_return_to_zero(client):
            with ThreadPoolExecutor(4) as threads:
                done = [threads.submit(flavour(client).run, "generate", "hi") for _ in range(12)]
                assert [future.result(60).text for future in done] == ["ab"] * 12
            assert {*states(client).values()} == {"up"}


def test_what_is_cut_after_the_grace_is_an_error_and_the_server_is_well(flavour):
    with EndpointGroup(2, ["a", sleep(3.0), "b"], server_options=AGE | GRACE) as group:
        with StreamingClient("gpt.streaming", group.urls) as client, counts_return_to_zero(client):
            with pytest.raises(RequestError) as caught:
                flavour(client).run("generate", "hi")
            assert caught.value.partial_text == "a"
            assert sum(group.shares) == 1
            assert "quarantined" not in states(client).values()


def test_what_is_cut_before_its_first_token_is_sent_again(flavour):
    with EndpointGroup(2, [sleep(3.0), "b"], server_options=AGE | GRACE) as group:
        with StreamingClient("gpt.streaming", group.urls, max_retries=1) as client:
            with counts_return_to_zero(client), pytest.raises(RequestError) as caught:
                flavour(client).run("generate", "hi")
            assert [attempt.endpoint for attempt in caught.value.attempts] in (group.urls, group.urls[::-1])
            assert "quarantined" not in states(client).values()
