"""Request parameters of generations: they arrive at the model, whichever way is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from nupic_client import (
    ConfigurationError,
    Conversation,
    InferenceClient,
    RequestRejectedError,
    StreamingClient,
)

GIVEN = {"who": "me", "loud": True, "count": -3, "share": 0.5, "big": 2**62}
NUMPY = {
    "loud": np.True_,
    "count": np.int64(-3),
    "share": np.float64(0.5),
    "big": np.uint64(2**62),
    "who": "me",
}


def arrived(server: Any) -> dict[str, object]:
    """Return the parameters of the last request, without the one that asks for a final mark."""
    parameters = dict(server.requests[-1].parameters)
    parameters.pop("triton_enable_empty_final_response", None)
    return parameters


@pytest.mark.parametrize("given", [GIVEN, NUMPY], ids=["python", "numpy"])
def test_parameters_arrive_as_they_are(server, client, read, given):
    chunks, _ = read(client, "Hi", parameters=given)
    assert "".join(chunks) == "Hello world"
    assert arrived(server) == GIVEN


def test_a_stream_without_parameters_has_none(server, client, read):
    read(client, "Hi")
    assert arrived(server) == {}


def test_priority_and_queue_timeout_are_taken(server, client):
    assert client.generate("Hi", parameters={"priority": 1, "timeout": 1_000_000}).text == "Hello world"


def test_a_client_has_parameters_for_all_its_calls_and_a_call_replaces_them(server):
    with StreamingClient("gpt.streaming", url=server.url, parameters={"who": "me"}) as client:
        client.generate("Hi")
        assert arrived(server) == {"who": "me"}
        client.generate("Hi", parameters={"other": 1})
        assert arrived(server) == {"other": 1}
        client.generate("Hi", parameters=None)
        assert arrived(server) == {}
        client.generate("Hi")
        assert arrived(server) == {"who": "me"}


def test_a_model_that_answers_at_once_gets_them_too(server):
    with InferenceClient("gpt", url=server.url, parameters={"a": 1}) as client:
        assert client.generate("Hi").text == "Hello world"
        assert server.requests[-1].parameters == {"a": 1}
        asyncio.run(client.agenerate("Hi", parameters={"b": 2}))
        assert server.requests[-1].parameters == {"b": 2}
        client.infer({"text_input": ["Hi"]})
        assert server.requests[-1].parameters == {"a": 1}


def test_an_inference_client_passes_them_to_a_model_that_streams(server):
    with InferenceClient("gpt.streaming", url=server.url, backend="plain") as client:
        client.generate("Hi", parameters={"a": 1})
    assert arrived(server) == {"a": 1}


def test_a_conversation_passes_them_on(server):
    with StreamingClient("gpt.streaming", url=server.url, formatter="chatml") as client:
        chat = Conversation(client)
        chat.generate("Hi", parameters={"user": "u-1"})
        assert arrived(server) == {"user": "u-1"}
        asyncio.run(chat.agenerate("Ho", parameters={"user": "u-2"}))
        assert arrived(server) == {"user": "u-2"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"triton_x": 1}, "must not have names that begin with 'triton_'"),
        ({"a": None}, "parameter 'a' must be a bool, a string, a float or an integer"),
        ({"a": 2**64}, "parameter 'a' must be"),
        ([("a", 1)], "parameters must be a mapping"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_sent(server, client, wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        client.stream("Hi", parameters=wrong)
    with pytest.raises(ConfigurationError, match=message):
        client.astream("Hi", parameters=wrong)
    with pytest.raises(ConfigurationError, match=message):
        StreamingClient("gpt.streaming", url=server.url, parameters=wrong)
    assert not server.requests


@pytest.mark.parametrize("wrong", [{"priority": "high"}, {"timeout": 2.5}, {"sequence_start": 1}])
def test_a_type_that_the_server_does_not_take_is_its_refusal(client, wrong):
    (name,) = wrong
    with pytest.raises(RequestRejectedError, match=f"invalid value type for '{name}'"):
        client.generate("Hi", parameters=wrong)
