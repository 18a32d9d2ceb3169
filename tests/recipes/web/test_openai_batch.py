"""The lines that a batch writes are what openai-python reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from needed import need

need("web")

from backends.signatures import VLLM
from batch.files import WEATHER
from inference.tensor_server import embedder
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, CompletionCreateParams
from openai.types.chat.chat_completion_message_function_tool_call import ChatCompletionMessageFunctionToolCall
from openai.types.embedding_create_params import EmbeddingCreateParams
from pydantic import TypeAdapter

from nupic_client import batch
from nupic_client.testing import FakeTriton, Reply, competent_model, text_signature

MODEL = "gpt.streaming"
QUESTION = [{"role": "user", "content": "The weather in Oslo?"}]
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
CHATS: dict[str, dict[str, Any]] = {
    "text": {"messages": QUESTION},
    "call": {"messages": QUESTION, "tools": [WEATHER]},
    "forced": {
        "messages": QUESTION,
        "tools": [WEATHER],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    },
    "named": {
        "messages": QUESTION,
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    },
    "result": {
        "messages": [
            *QUESTION,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "warm"},
        ],
        "tools": [WEATHER],
    },
    "object": {"messages": QUESTION, "response_format": {"type": "json_object"}},
    "schema": {
        "messages": QUESTION,
        "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}},
    },
    "options": {
        "messages": [{"role": "developer", "content": "Be brief."}, *QUESTION],
        "max_completion_tokens": 50,
        "temperature": 0.5,
        "stop": ["Bye"],
        "seed": 3,
        "n": 1,
        "stream_options": {"include_usage": True},
        "user": "me",
    },
}


def answers(folder: Any, model: str, url: str, endpoint: str, bodies: dict[str, Any]) -> dict[str, Any]:
    """Run a batch of these bodies, and return the body of each answer."""
    source, output = folder / "in.jsonl", folder / "out.jsonl"
    lines = [
        {"custom_id": name, "method": "POST", "url": endpoint, "body": {"model": model, **body}}
        for name, body in bodies.items()
    ]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = batch.run(source, output, model=model, url=url, formatter="qwen3")
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert report.done == len(bodies), rows
    return {row["custom_id"]: row["response"]["body"] for row in rows}


def test_chats(tmp_path: Any) -> None:
    for body in CHATS.values():
        TypeAdapter(CompletionCreateParams).validate_python({"model": MODEL, **body})
    with FakeTriton(competent_model("qwen3"), models=[text_signature(MODEL, guided=True)]) as server:
        found = answers(tmp_path, MODEL, server.url, "/v1/chat/completions", CHATS)
    read = {name: ChatCompletion.model_validate(body, strict=True) for name, body in found.items()}
    for name, completion in read.items():
        (choice,) = completion.choices
        called = name in {"call", "forced", "named"}
        assert choice.finish_reason == ("tool_calls" if called else "stop"), name
        assert completion.usage is not None
        if called:
            (call,) = choice.message.tool_calls or ()
            assert isinstance(call, ChatCompletionMessageFunctionToolCall)
            assert call.function.name == "get_weather"
            assert json.loads(call.function.arguments).keys() == {"city"}
        else:
            assert choice.message.content
    for name in ("object", "schema"):
        assert isinstance(json.loads(read[name].choices[0].message.content or ""), dict)


def test_reasoning(tmp_path: Any) -> None:
    with FakeTriton(["<think>\nHm.\n</think>\n\n", "Cold."], models=[text_signature(MODEL)]) as server:
        found = answers(tmp_path, MODEL, server.url, "/v1/chat/completions", {"a": {"messages": QUESTION}})
    message = ChatCompletion.model_validate(found["a"], strict=True).choices[0].message
    assert (message.content or "").strip() == "Cold."
    assert message.model_extra is not None
    assert message.model_extra["reasoning_content"].strip() == "Hm."


def test_log_probabilities_and_a_cut_answer(tmp_path: Any) -> None:
    token = {
        "5": {"logprob": -0.5, "rank": 1, "decoded_token": "Hé"},
        "6": {"logprob": -1.5, "decoded_token": "x"},
    }
    reply = Reply([{"text_output": "Hé", "logprobs": json.dumps([token])}], finish_reason="length")
    with FakeTriton(reply, models=[VLLM]) as server:
        chat = {"a": {"messages": QUESTION, "logprobs": True, "top_logprobs": 2}, "b": {"messages": QUESTION}}
        found = answers(tmp_path, "vllm_model", server.url, "/v1/chat/completions", chat)
        choice = ChatCompletion.model_validate(found["a"], strict=True).choices[0]
        assert choice.finish_reason == "length"
        assert choice.logprobs is not None
        (first,) = choice.logprobs.content or ()
        assert (first.token, first.bytes) == ("Hé", [72, 195, 169])
        assert [each.logprob for each in first.top_logprobs] == [-0.5, -1.5]
        assert ChatCompletion.model_validate(found["b"], strict=True).choices[0].logprobs is None
        (tmp_path / "out.jsonl").unlink()
        found = answers(
            tmp_path, "vllm_model", server.url, "/v1/completions", {"c": {"prompt": "x", "logprobs": 2}}
        )
    text = Completion.model_validate(found["c"], strict=True).choices[0]
    assert text.logprobs is not None
    assert text.logprobs.top_logprobs == [{"Hé": -0.5, "x": -1.5}]


@pytest.mark.parametrize("form", ["float", "base64"])
def test_vectors(tmp_path: Any, form: str) -> None:
    bodies: dict[str, Any] = {
        "one": {"input": "one", "encoding_format": form},
        "many": {"input": ["one", "three"], "encoding_format": form, "dimensions": 2, "user": "me"},
    }
    for body in bodies.values():
        TypeAdapter(EmbeddingCreateParams).validate_python({"model": "embed", **body})
    with embedder() as server:
        found = answers(tmp_path, "embed", server.url, "/v1/embeddings", bodies)
    if form == "base64":  # openai-python decodes it where it has asked for it
        assert {type(item["embedding"]) for body in found.values() for item in body["data"]} == {str}
        return
    read = {name: CreateEmbeddingResponse.model_validate(body, strict=True) for name, body in found.items()}
    assert [item.embedding for item in read["many"].data] == [[3.0, 1.0], [5.0, 1.0]]
    assert [item.index for item in read["many"].data] == [0, 1]
    assert (read["one"].object, read["one"].usage.total_tokens) == ("list", 0)
