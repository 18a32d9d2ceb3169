"""What is around a call in LiteLLM: embeddings, log probabilities, the router, callbacks, and the page."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from needed import need

need("litellm")

from backends.signatures import VLLM
from inference.tensor_server import embedder
from integrations.litellm.ways import WAYS, ask
from litellm.integrations.custom_logger import CustomLogger
from pages import ROOT, run_blocks

from nupic_client import LocalServer
from nupic_client.testing import FakeTriton, competent_model, text_signature

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default", "ignore:Item:UserWarning")]

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def vectors():
    """A server that turns a text into its length and a one."""
    with embedder() as server:
        yield server


def embed(litellm, way, **call):
    if way == "embedding":
        return litellm.embedding(**call)
    return asyncio.run(litellm.aembedding(**call))


@pytest.mark.parametrize("way", ["embedding", "aembedding"])
def test_embeddings(litellm, vectors, way):
    call = {"model": "nupic/embed", "api_base": vectors.url}
    response = embed(litellm, way, input=["one", "three"], output="v", batch_size=1, **call)
    assert [row["embedding"] for row in response.data] == [[3.0, 1.0], [5.0, 1.0]]
    assert [row["index"] for row in response.data] == [0, 1]
    assert all(type(value) is float for value in response.data[0]["embedding"])
    assert embed(litellm, way, input="four", **call).data[0]["embedding"] == [4.0, 1.0]
    with pytest.raises(litellm.UnsupportedParamsError, match="foo"):
        embed(litellm, way, input=["one"], foo=1, **call)
    with pytest.raises(litellm.BadRequestError):
        embed(litellm, way, input=[[1, 2]], **call)
    with pytest.raises(litellm.UnsupportedParamsError, match="dimensions"):
        embed(litellm, way, input=["one"], dimensions=3, **call)
    assert embed(litellm, way, input=["one"], dimensions=3, drop_params=True, **call).data


def test_log_probabilities(litellm):
    def reply(_request):
        for text in ("Hel", "lo"):
            token = {"5": {"logprob": -0.5, "rank": 1, "decoded_token": text}}
            yield {"text_output": text, "finish_reason": "None", "logprobs": json.dumps([token])}
        yield {"text_output": "!", "finish_reason": "stop", "logprobs": "null"}

    with FakeTriton(reply, models=[VLLM]) as server:
        for way in WAYS[:2]:
            response = ask(litellm, way, server.url, model="nupic/vllm_model", logprobs=True, top_logprobs=1)
            content = response.choices[0].logprobs.content
            assert [(each.token, each.logprob, each.bytes) for each in content] == [
                ("Hel", -0.5, [72, 101, 108]),
                ("lo", -0.5, [108, 111]),
            ]
            assert [each.token for each in content[0].top_logprobs] == ["Hel"]
        chunks = litellm.completion(
            model="nupic/vllm_model",
            api_base=server.url,
            formatter="qwen3",
            messages=MESSAGES,
            logprobs=True,
            stream=True,
        )
        tokens = [
            token.token
            for chunk in chunks
            for token in getattr(getattr(chunk.choices[0], "logprobs", None), "content", None) or ()
        ]
        assert tokens == ["Hel", "lo"]


# --- the router


def router(litellm, url):
    ours = {"model": "nupic/gpt.streaming", "formatter": "qwen3", "max_retries": 0}
    return litellm.Router(
        model_list=[
            {"model_name": "first", "litellm_params": {"api_base": "127.0.0.1:1", **ours}},
            {"model_name": "second", "litellm_params": {"api_base": url, **ours}},
        ],
        fallbacks=[{"first": ["second"]}],
        num_retries=0,
    )


@pytest.mark.parametrize("way", WAYS)
def test_the_router_falls_back_from_a_dead_server(litellm, server, way):
    async def stream(routing):
        return [chunk async for chunk in await routing.acompletion("first", MESSAGES, stream=True)]

    routing = router(litellm, server.url)
    match way:
        case "completion":
            text = routing.completion("first", MESSAGES).choices[0].message.content
        case "acompletion":
            text = asyncio.run(routing.acompletion("first", MESSAGES)).choices[0].message.content
        case "streaming":
            text = joined(routing.completion("first", MESSAGES, stream=True))
        case _:
            text = joined(asyncio.run(stream(routing)))
    assert text == "You said: Hello"
    routing.retire()


def joined(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_the_router_balances_two_servers(litellm):
    with FakeTriton(["one"]) as one, FakeTriton(["two"]) as two:
        routing = litellm.Router(
            model_list=[
                {
                    "model_name": "gpt",
                    "litellm_params": {
                        "model": "nupic/gpt.streaming",
                        "api_base": url,
                        "formatter": "qwen3",
                        "rpm": 1000,
                        "tpm": 100_000,
                        "weight": 1,
                        "input_cost_per_token": 0.0,
                    },
                }
                for url in (one.url, two.url)
            ]
        )
        texts = {routing.completion("gpt", MESSAGES).choices[0].message.content for _ in range(60)}
        routing.retire()
    assert texts == {"one", "two"}


def test_several_servers_in_one_api_base(litellm):
    """Our own choice among them, and failover before the first token."""
    with FakeTriton(["one"]) as one:
        response = ask(litellm, "completion", f"127.0.0.1:1,{one.url}")
    assert response.choices[0].message.content == "one"


def test_callbacks_get_the_usage(litellm, server):
    seen = {}

    class Logger(CustomLogger):
        async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
            seen[response_obj.id] = response_obj.usage  # those of other tests may still come

    async def run():
        response = await litellm.acompletion(
            model="nupic/gpt.streaming", api_base=server.url, formatter="qwen3", messages=MESSAGES
        )
        while response.id not in seen:
            await asyncio.sleep(0.05)
        return response

    litellm.callbacks = [Logger()]
    try:
        response = asyncio.run(run())
    finally:
        litellm.callbacks = []
    assert seen[response.id].total_tokens == response.usage.total_tokens > 0


# --- the whole


def test_the_embedded_model(litellm):
    asked = {"model": "nupic/smollm2", "formatter": None, "max_tokens": 12, "temperature": 0}
    with LocalServer() as server:
        for way in WAYS:
            response = ask(litellm, way, server.url, "Say hello.", **asked)
            assert response.choices[0].message.content
            assert 0 < response.usage.completion_tokens <= 12


def test_the_page_runs(litellm):
    with FakeTriton(
        competent_model("smollm2"), models=[text_signature("smollm2.streaming", guided=True)]
    ) as server:
        run_blocks(ROOT / "docs" / "integrations" / "litellm.md", server.url)


def test_the_example_runs():
    with FakeTriton(competent_model("smollm2"), models=[text_signature("smollm2.streaming")]) as server:
        done = subprocess.run(
            [
                sys.executable,
                ROOT / "examples" / "integrations" / "litellm_router.py",
                "127.0.0.1:1",
                server.url,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    assert "You said: Why is the sky blue?" in done.stdout
    assert "The second server counted 7 tokens." in done.stdout
