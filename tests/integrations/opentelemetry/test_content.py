"""Prompts and answers are written where they are asked for, and nowhere else."""

from __future__ import annotations

import json

import pytest
from needed import need

need("opentelemetry")

from integrations.opentelemetry.recording import agenerate, amap, generate, map_
from opentelemetry._logs import SeverityNumber

from nupic_client import (
    ConfigurationError,
    ImagePart,
    Message,
    RequestContent,
    RequestError,
    StreamingClient,
    Tool,
    ToolCall,
    assistant,
    system,
    user,
)
from nupic_client.integrations.opentelemetry.content import as_json, content_attributes
from nupic_client.integrations.opentelemetry.names import LATEST, PRESENT
from nupic_client.integrations.opentelemetry.settings import Content, capture_of
from nupic_client.testing import abort

WAYS = pytest.mark.parametrize("ask", [generate, agenerate, map_, amap])
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EMIT = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"
EVENT = "gen_ai.client.inference.operation.details"
INPUT = [{"role": "user", "parts": [{"type": "text", "content": "s3cr3t question"}]}]
OUTPUT = [
    {"role": "assistant", "parts": [{"type": "text", "content": "s3cr3t answer"}], "finish_reason": "stop"}
]
SYSTEM = [{"type": "text", "content": "s3cr3t rules"}]
ALL = {
    "gen_ai.input.messages": INPUT,
    "gen_ai.output.messages": OUTPUT,
    "gen_ai.system_instructions": SYSTEM,
}


@pytest.fixture
def ask_secrets(client, server):
    server.reply = ["s3cr3t", " answer"]
    return lambda ask: ask(client, [system("s3cr3t rules"), user("s3cr3t question")])


def everything(memory):
    """Return all that was written, as one text."""
    spans = [span.to_json() for span in memory.spans]
    events = [str(dict(event.attributes)) + str(event.body) for event in memory.events]
    return "".join([*spans, *events, str(memory.points())])


def in_span(memory):
    return {name: json.loads(value) for name, value in memory.attributes.items() if name in ALL}


def in_event(memory):
    (event,) = memory.events
    return {name: value for name, value in event.attributes.items() if name in ALL}


@WAYS
def test_nothing_is_written_without_being_asked_for(memory, client, ask_secrets, ask):
    memory.instrument(client)
    ask_secrets(ask)
    assert "s3cr3t" not in everything(memory)
    assert memory.events == []


@WAYS
@pytest.mark.parametrize("given", [True, "SPAN_ONLY"])
def test_in_the_span(memory, client, ask_secrets, ask, given):
    memory.instrument(client, capture_content=given)
    ask_secrets(ask)
    assert in_span(memory) == ALL
    assert memory.events == []


def plain(value):
    """Return lists and dictionaries of what the SDK has made immutable."""
    if hasattr(value, "items"):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


@WAYS
def test_in_an_event(memory, client, ask_secrets, ask):
    memory.instrument(client, capture_content="EVENT_ONLY")
    ask_secrets(ask)
    assert in_span(memory) == {}
    assert plain(in_event(memory)) == ALL
    (event,) = memory.events
    assert (event.event_name, event.severity_number) == (EVENT, SeverityNumber.INFO)
    assert event.span_id == memory.span().context.span_id
    assert event.attributes["gen_ai.operation.name"] == "chat"
    assert event.attributes["gen_ai.usage.output_tokens"] == 2


def test_in_both(memory, client, ask_secrets):
    memory.instrument(client, capture_content="SPAN_AND_EVENT")
    ask_secrets(generate)
    assert in_span(memory) == plain(in_event(memory)) == ALL


@pytest.mark.parametrize(
    ("value", "span", "event"),
    [
        ("SPAN_ONLY", True, False),
        ("event_only", False, True),
        ("SPAN_AND_EVENT", True, True),
        ("NO_CONTENT", False, False),
        ("", False, False),
    ],
)
def test_the_environment_says_where(memory, client, ask_secrets, monkeypatch, value, span, event):
    monkeypatch.setenv(CAPTURE, value)
    memory.instrument(client)
    ask_secrets(generate)
    assert bool(in_span(memory)) is span
    assert bool(memory.events) is event


def test_the_argument_goes_before_the_environment(memory, client, ask_secrets, monkeypatch):
    monkeypatch.setenv(CAPTURE, "SPAN_AND_EVENT")
    memory.instrument(client, capture_content=False)
    ask_secrets(generate)
    assert "s3cr3t" not in everything(memory)


def test_an_event_without_content(memory, client, ask_secrets, monkeypatch):
    monkeypatch.setenv(EMIT, "true")
    memory.instrument(client)
    ask_secrets(generate)
    assert len(memory.events) == 1
    assert "s3cr3t" not in everything(memory)


@pytest.mark.parametrize(
    ("given", "environ", "wanted"),
    [
        (None, {}, Content()),
        (True, {}, Content(span=True)),
        (True, {CAPTURE: "EVENT_ONLY"}, Content(event=True, emits=True)),
        (False, {CAPTURE: "SPAN_ONLY"}, Content()),
        ("EVENT_ONLY", {EMIT: "false"}, Content()),
        ("SPAN_AND_EVENT", {EMIT: "false"}, Content(span=True)),
        ("NO_CONTENT", {EMIT: "TRUE"}, Content(emits=True)),
        (None, {CAPTURE: " span_only "}, Content(span=True)),
    ],
)
def test_what_is_written(given, environ, wanted):
    assert capture_of(given, environ) == wanted


def test_a_wrong_variable_is_logged_and_writes_nothing(caplog):
    assert capture_of(None, {CAPTURE: "true", EMIT: "yes"}) == Content()
    assert f"${CAPTURE} must be one of NO_CONTENT, SPAN_ONLY," in caplog.text
    assert f"${EMIT} must be one of TRUE, FALSE" in caplog.text


@pytest.mark.parametrize("wrong", ["yes", 3, "span_only"])
def test_a_wrong_argument(client, wrong):
    with pytest.raises(ConfigurationError, match="capture_content must be True, False") as caught:
        capture_of(wrong, {})
    assert caught.value.parameter == "capture_content"


@pytest.mark.parametrize("capture", [False, True])
def test_the_words_of_a_server_may_be_the_prompts(memory, client, server, capture):
    server.reply = [abort("INTERNAL", "cannot read s3cr3t")]
    memory.instrument(client, capture_content=capture)
    with pytest.raises(RequestError):
        client.generate("hi")
    words = "cannot read s3cr3t" if capture else "…"
    assert memory.span().status.description == f"the server failed: {words}"


def test_what_came_of_a_stream_that_was_left(memory, client):
    memory.instrument(client, capture_content=True)
    with client.stream("hi") as stream:
        next(stream)
    (answer,) = in_span(memory)["gen_ai.output.messages"]
    assert answer == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "a"}],
        "finish_reason": "cancelled",
    }


def test_a_request_without_an_answer(memory):
    with StreamingClient("m", "127.0.0.1:1", max_retries=0, timeout=30) as client:
        memory.instrument(client, capture_content=True)
        with pytest.raises(RequestError):
            client.generate("hi")
    assert set(in_span(memory)) == {"gen_ai.input.messages"}


def test_embeddings_have_no_event(memory, monkeypatch):
    from inference.tensor_server import TensorServer  # noqa: PLC0415
    from integrations.opentelemetry.test_spans import SBERT, vectors  # noqa: PLC0415

    from nupic_client import InferenceClient  # noqa: PLC0415

    with TensorServer(SBERT, answer=vectors) as server, InferenceClient("sbert", server.url) as client:
        memory.instrument(client, capture_content="SPAN_AND_EVENT")
        client.embed(["s3cr3t"])
    assert len(memory.spans) == 1
    assert "s3cr3t" not in everything(memory)
    assert memory.events == []


TOOL = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})


def test_all_kinds_of_parts():
    prompt = (
        Message("developer", "rules"),
        Message(
            "user",
            ["look: ", ImagePart("https://example.org/cat.png"), ImagePart(b"\x89PNG\r\n\x1a\n00")],
            name="me",
        ),
        Message("assistant", "", tool_calls=[ToolCall("1", "weather", '{"city": "Rome"}')], reasoning="hm"),
        Message("tool", "sunny", tool_call_id="1", name="weather"),
    )
    answer = Message("assistant", "It is.", tool_calls=[ToolCall("2", "weather", "no json")])
    content = RequestContent(prompt=prompt, tools=(TOOL,), answer=answer)
    found = content_attributes(PRESENT, content, "stop")
    assert found == {
        "gen_ai.system_instructions": [{"type": "text", "content": "rules"}],
        "gen_ai.input.messages": [
            {
                "role": "user",
                "parts": [
                    {"type": "text", "content": "look: "},
                    {
                        "type": "uri",
                        "uri": "https://example.org/cat.png",
                        "modality": "image",
                        "mime_type": "image/png",
                    },
                    {"type": "blob", "content": "", "modality": "image", "mime_type": "image/png"},
                ],
                "name": "me",
            },
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "hm"},
                    {"type": "tool_call", "id": "1", "name": "weather", "arguments": {"city": "Rome"}},
                ],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "1", "response": "sunny"}],
                "name": "weather",
            },
        ],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "text", "content": "It is."},
                    {"type": "tool_call", "id": "2", "name": "weather", "arguments": "no json"},
                ],
                "finish_reason": "stop",
            }
        ],
        "gen_ai.tool.definitions": [
            {
                "type": "function",
                "name": "weather",
                "description": "The weather.",
                "parameters": TOOL.parameters,
            }
        ],
    }
    assert json.loads(as_json(found)["gen_ai.input.messages"]) == found["gen_ai.input.messages"]
    (latest,) = content_attributes(LATEST, content, "stop")["gen_ai.output.messages"]
    assert "finish_reason" not in latest


def test_a_text_is_a_message_of_the_user():
    found = content_attributes(PRESENT, RequestContent(prompt="hi"), None)
    assert found == {
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]
    }
    found = content_attributes(PRESENT, RequestContent(prompt="hi", answer=assistant("ho")), None)
    assert found["gen_ai.output.messages"] == [
        {"role": "assistant", "parts": [{"type": "text", "content": "ho"}]}
    ]


def test_tools_that_a_model_is_offered(memory, client, server):
    server.reply = ["no tool"]
    memory.instrument(client, capture_content=True)
    with StreamingClient("gpt.streaming", server.url, formatter="qwen2.5") as client:
        memory.instrument(client, capture_content=True)
        client.generate([user("hi")], tools=[TOOL])
    (tool,) = json.loads(memory.attributes["gen_ai.tool.definitions"])
    assert tool["name"] == "weather"
