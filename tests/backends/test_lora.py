"""LoRA adapters of servers, from the option to the server's answer."""

from __future__ import annotations

import json

import pytest
from backends.signatures import PLAIN, VLLM
from facade.conftest import by_async_iterator, by_iterator

from nupic_client import ConfigurationError, InferenceClient, Lora, RequestRejectedError, StreamingClient
from nupic_client.testing import FakeTriton, fail


@pytest.fixture(params=[by_iterator, by_async_iterator], ids=["sync", "async"])
def read(request):
    return request.param


def vllm(request):
    """Answer as vLLM's backend with two adapters does."""
    name = json.loads(request.inputs["sampling_parameters"]).get("lora_name")
    if name not in (None, "doll", "sheep"):
        return [
            fail(
                f"Error generating stream: LoRA {name} is not supported, we currently support ['doll', 'sheep']"
            )
        ]
    return [{"text_output": f"by {name}", "finish_reason": "stop"}]


@pytest.fixture
def server():
    with FakeTriton(vllm, models=[VLLM]) as server:
        yield server


def test_the_adapter_is_chosen_by_the_client_or_the_call(server, read):
    with StreamingClient("vllm_model", url=server.url, lora="doll") as client:
        assert read(client, "Once")[1].text == "by doll"
        assert read(client, "Once", lora="sheep")[1].text == "by sheep"
        assert read(client, "Once", lora=Lora("doll"))[1].text == "by doll"
        assert read(client, "Once", lora=None)[1].text == "by None"
        assert client.with_options(lora="sheep").generate("Once").text == "by sheep"
        assert [answer.text for answer in client.map([("a", {"lora": "sheep"}), "b"])] == [
            "by sheep",
            "by doll",
        ]
    with InferenceClient("vllm_model", url=server.url) as client:
        assert client.generate("Once", lora="sheep").text == "by sheep"


def test_the_server_knows_a_better_name(server, read):
    with (
        StreamingClient("vllm_model", url=server.url) as client,
        pytest.raises(RequestRejectedError) as caught,
    ):
        read(client, "Once", lora="shep")
    assert "did you mean 'sheep'? the server has 'doll', 'sheep'" in str(caught.value)
    assert not caught.value.retryable
    assert len(server.requests) == 1


def test_a_server_without_adapters(read):
    with (
        FakeTriton([fail("LoRA feature is not enabled.")], models=[VLLM]) as server,
        StreamingClient("vllm_model", url=server.url) as client,
        pytest.raises(RequestRejectedError, match="leave lora= out, or load the model with enable_lora"),
    ):
        read(client, "Once", lora="sql")


def test_nothing_is_sent_to_a_model_that_takes_none(read):
    with FakeTriton(["x"], models=[PLAIN]) as server, StreamingClient("plain", url=server.url) as client:
        with pytest.raises(ConfigurationError, match="has no input for lora"):
            read(client, "Once", lora="sql")
        assert not server.requests


def test_a_wrong_adapter_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="lora must be the name of an adapter"):
        StreamingClient("m", lora=1.5)
