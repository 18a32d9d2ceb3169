"""What is written is what the conventions' own library for Python writes for the same request, key by key."""

from __future__ import annotations

import json

import pytest
from needed import need

need("opentelemetry")

from integrations.opentelemetry.recording import Memory, agenerate, generate
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.types import (
    FunctionToolDefinition,
    InputMessage,
    OutputMessage,
    TextPart,
    ToolCallRequestPart,
)

from nupic_client import StreamingClient, Tool, system, user
from nupic_client.testing import FakeTriton

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
TOOL = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
OPTIONS = {
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 3,
    "seed": 7,
    "stop": ["x"],
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
}
PROMPT = [system("be brief"), user("hi")]


def theirs(url, generation, *, tool):
    """Write what a program does that uses their library by hand."""
    memory = Memory()
    host, _, port = url.partition(":")
    handler = TelemetryHandler(memory.tracer_provider, memory.meter_provider, memory.logger_provider)
    invocation = handler.inference(
        "triton", request_model="gpt.streaming", server_address=host, server_port=int(port)
    )
    for name, value in OPTIONS.items():
        setattr(invocation, {"stop": "stop_sequences"}.get(name, name), value)
    invocation.response_model_name = generation.model
    invocation.response_id = generation.request_id
    invocation.input_tokens = generation.usage.input_tokens
    invocation.output_tokens = generation.usage.output_tokens
    invocation.finish_reasons = ["stop"]
    invocation.system_instruction = [TextPart("be brief")]
    invocation.input_messages = [InputMessage("user", [TextPart("hi")])]
    parts = [TextPart(generation.text)] if generation.text else []
    parts += [
        ToolCallRequestPart(arguments=call.parsed, name=call.name, id=call.id)
        for call in generation.tool_calls
    ]
    invocation.output_messages = [OutputMessage("assistant", parts, finish_reason="stop")]
    if tool:
        invocation.tool_definitions = [FunctionToolDefinition(TOOL.name, TOOL.description, TOOL.parameters)]
    for moment in (0.1, 0.2):
        invocation._on_stream_chunk(invocation._monotonic_start_s + moment)
    invocation.stop()
    return memory


def without_nones(value):
    """Return a value of JSON without names that have none: their classes write all fields."""
    if isinstance(value, dict):
        return {name: without_nones(each) for name, each in value.items() if each is not None}
    return [without_nones(each) for each in value] if isinstance(value, list) else value


def comparable(attributes):
    found = {name: value for name, value in attributes.items() if not name.startswith("nupic.")}
    found.pop("gen_ai.response.time_to_first_chunk")
    for name in (
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
    ):
        if name in found:
            found[name] = without_nones(json.loads(found[name]))
    return found


@pytest.mark.parametrize("ask", [generate, agenerate])
@pytest.mark.parametrize("tool", [False, True])
@pytest.mark.parametrize("capture", ["NO_CONTENT", "SPAN_ONLY"])
def test_the_same_request(memory, monkeypatch, ask, tool, capture):
    monkeypatch.setenv(CAPTURE, capture)
    reply = (
        ['<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>']
        if tool
        else ["a", "b"]
    )
    with FakeTriton(reply) as server:
        with StreamingClient("gpt.streaming", server.url, formatter="qwen2.5") as client:
            memory.instrument(client)
            generation = ask(client, PROMPT, **OPTIONS, **({"tools": [TOOL]} if tool else {}))
        other = theirs(server.url, generation, tool=tool)
    ours, wanted = memory.span(), other.span()
    assert (ours.name, ours.kind, ours.status.status_code) == (
        wanted.name,
        wanted.kind,
        wanted.status.status_code,
    )
    assert comparable(ours.attributes) == comparable(wanted.attributes)
    types = {name: type(value) for name, value in wanted.attributes.items() if name != "gen_ai.request.top_k"}
    assert {name: type(value) for name, value in ours.attributes.items() if name in types} == types
    assert ours.instrumentation_scope.schema_url == wanted.instrumentation_scope.schema_url


def test_the_metrics(memory, client, server):
    memory.instrument(client)
    generation = client.generate(PROMPT, **OPTIONS)
    ours, wanted = memory.points(), theirs(server.url, generation, tool=False).points()
    assert ours.keys() == wanted.keys()
    for name, points in wanted.items():
        assert len(ours[name]) == len(points)
        for point, other in zip(ours[name], points, strict=True):
            assert dict(point.attributes) == dict(other.attributes)
            assert [*point.explicit_bounds] == pytest.approx([*other.explicit_bounds])
            assert point.count == other.count


def test_the_event(memory, client, server, monkeypatch):
    monkeypatch.setenv(CAPTURE, "EVENT_ONLY")
    memory.instrument(client)
    generation = client.generate(PROMPT, **OPTIONS)
    (ours,), (wanted,) = memory.events, theirs(server.url, generation, tool=False).events
    assert ours.event_name == wanted.event_name
    names = {name for name in ours.attributes if not name.startswith("nupic.")}
    assert names == set(wanted.attributes)
