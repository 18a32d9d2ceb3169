"""`generate` without streaming, against a server that speaks Triton's protocol."""

from __future__ import annotations

import pytest

from nupic_client import (
    ConfigurationError,
    DeadlineExceededError,
    InferenceClient,
    InferenceError,
    ModelRegistry,
    ModelSpec,
    user,
)
from nupic_client.testing import FakeTriton, fail, sleep, text_signature

UNARY = text_signature("gpt", decoupled=False)
STREAMING = text_signature("gpt.streaming")


@pytest.fixture(params=[[UNARY], [STREAMING], [UNARY, STREAMING]], ids=["unary", "streaming", "both"])
def server(request):
    with FakeTriton(["Hello", " wor", "ld"], models=request.param) as server:
        yield server


@pytest.fixture
def generate(server, flavour):
    with InferenceClient("gpt.streaming", server.url) as client:
        yield flavour(client).generate


def test_the_text_comes_whole(server, generate):
    generation = generate("Hi", max_tokens=50)
    assert generation.text == "Hello world"
    assert generation.finish_reason == "stop"
    assert generation.usage.output_tokens == 3
    assert generation.request_id == server.requests[0].request_id
    assert server.requests[0].inputs["max_tokens"] == 50


def test_the_model_that_answers_at_once_is_preferred(server, generate):
    has = {model for model in ("gpt", "gpt.streaming") if model in server.models_ready}
    generation = generate("Hi")
    assert generation.model == ("gpt" if "gpt" in has else "gpt.streaming")
    assert server.requests[0].method == ("ModelInfer" if "gpt" in has else "ModelStreamInfer")


def test_stop_strings_end_the_text(generate):
    assert generate("Hi", stop="wor").text == "Hello "


def test_a_conversation_is_rendered(server, flavour):
    registry = ModelRegistry([ModelSpec(name="bot", server_name="gpt.streaming", family="chatml")])
    with InferenceClient("bot", server.url, registry=registry) as client:
        flavour(client).generate([user("Hi")])
    assert server.requests[0].prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_a_conversation_needs_a_formatter(server):
    with InferenceClient("gpt.streaming", server.url) as client:
        with pytest.raises(ConfigurationError, match="formatter must be given"):
            client.generate([user("Hi")])
        assert InferenceClient("gpt", server.url, formatter="chatml")._formatter is not None


def test_a_failure_is_typed(server, generate):
    server.reply = [fail("engine exploded")]
    with pytest.raises(InferenceError, match="engine exploded") as caught:
        generate("Hi", request_id="me")
    assert caught.value.request_id == "me"
    assert caught.value.target == server.url


@pytest.mark.slow
def test_a_deadline_is_kept(server, generate):
    server.reply = ["a", sleep(5)]
    with pytest.raises(DeadlineExceededError) as caught:
        generate("Hi", timeout=0.2)
    assert caught.value.limit == 0.2


def test_the_readiness_of_either_model_is_enough(server, flavour):
    with InferenceClient("gpt.streaming", server.url) as client:
        flavour(client).wait(5)


@pytest.mark.slow
def test_a_model_that_is_not_ready_is_said(server, flavour):
    for name in server.models_ready:
        server.models_ready[name] = False
    client = InferenceClient("gpt.streaming", server.url)
    with client, pytest.raises(DeadlineExceededError, match=r"gpt\.streaming"):
        flavour(client).wait(0.1)
    with InferenceClient("gpt", server.url) as client, pytest.raises(DeadlineExceededError, match="gpt"):
        flavour(client).wait(0.1)


def test_a_server_that_is_not_there_is_said(flavour):
    with FakeTriton() as server:
        url = server.url
    with InferenceClient("gpt.streaming", url) as client, pytest.raises(DeadlineExceededError):
        flavour(client).wait(0.1)
