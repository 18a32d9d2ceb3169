"""Reasoning and tool calls apart from the text, in every way to read an answer."""

from __future__ import annotations

import asyncio
import json

import pytest

from nupic_client import (
    ConfigurationError,
    Finished,
    InferenceClient,
    OutputError,
    ReasoningDelta,
    StreamingClient,
    TextDelta,
    Tool,
    ToolArguments,
    ToolCall,
    ToolCallStarted,
    user,
)
from nupic_client.errors import RequestError
from nupic_client.testing import FakeTriton, Reply, fail, text_signature

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>'
WHOLE = f"<think>\nThe city is Paris.\n</think>\n\nLet me look.\n{CALL}"
ASK = [user("How is the weather in Paris?")]


def weather(city: str, days: int = 1) -> str:
    """Tell the weather.

    Args:
        city: the city
        days: how many days
    """
    return f"{city}: sunny for {days} days"


def pieces(text: str, size: int = 3) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def events_of(client: StreamingClient, way: str, **options):
    if way == "sync":
        with client.stream(ASK, **options) as stream:
            return list(stream.events())

    async def read():
        async with client.astream(ASK, **options) as stream:
            return [event async for event in stream.events()]

    return asyncio.run(read())


@pytest.fixture(params=["sync", "async"])
def way(request):
    return request.param


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_events_in_order(way, size):
    with (
        FakeTriton(pieces(WHOLE, size)) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        events = events_of(client, way, tools=[weather])
    kinds = list(dict.fromkeys(type(event) for event in events))
    assert kinds == [ReasoningDelta, TextDelta, ToolCallStarted, ToolArguments, ToolCall, Finished]
    assert (
        "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "The city is Paris."
    )
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Let me look."
    arguments = "".join(event.json_delta for event in events if isinstance(event, ToolArguments))
    generation = events[-1].generation
    (call,) = generation.tool_calls
    assert (arguments, call.name, call.parsed) == (call.arguments, "weather", {"city": "Paris", "days": 2})
    assert (generation.text, generation.reasoning) == ("Let me look.", "The city is Paris.")
    assert generation.timing.time_to_answer >= generation.timing.time_to_first_token


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_iteration_is_the_answers_text_alone(way, size):
    with (
        FakeTriton(pieces(WHOLE, size)) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        if way == "sync":
            texts = list(client.stream(ASK, tools=[weather]))
        else:

            async def read():
                return [text async for text in client.astream(ASK, tools=[weather])]

            texts = asyncio.run(read())
        got = []
        client.generate(ASK, got.append, tools=[weather])
    assert "".join(texts) == "".join(got) == "Let me look."
    assert all(texts)


def test_next_passes_over_what_is_no_text():
    with (
        FakeTriton(pieces(WHOLE)) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
        client.stream(ASK, tools=[weather]) as stream,
    ):
        assert "Let me look.".startswith(next(stream))
        stream.result()
        with pytest.raises(StopIteration):
            next(stream)


def test_an_answer_of_calls_alone_has_no_text(way):
    with (
        FakeTriton(pieces(CALL)) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen2.5") as client,
    ):
        events = events_of(client, way, tools=[weather])
    assert not any(isinstance(event, TextDelta) for event in events)
    assert events[-1].generation.text == ""
    assert len(events[-1].generation.tool_calls) == 1


def test_without_tools_calls_are_text_and_reasoning_is_apart():
    with (
        FakeTriton(pieces(WHOLE)) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        generation = client.generate(ASK)
        assert (generation.reasoning, generation.tool_calls) == ("The city is Paris.", ())
        assert generation.text == f"Let me look.\n{CALL}"
        assert client.generate(ASK, reasoning="include").text == WHOLE
        assert client.generate("a text is sent and read as it is").text == WHOLE
        included = client.generate(ASK, reasoning="include", tools=[weather])
        assert included.tool_calls


def test_ids_differ_between_calls_and_requests():
    with (
        FakeTriton([CALL, "\n", CALL]) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        ids = [call.id for _ in range(2) for call in client.generate(ASK, tools=[weather]).tool_calls]
    assert len(set(ids)) == 4
    assert all(each.startswith("call_") and len(each) == 29 for each in ids)


def test_map_reads_parts_too():
    with (
        FakeTriton(pieces(WHOLE)) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        for generation in client.map([ASK] * 5, tools=[weather], concurrency=2):
            assert (generation.text, len(generation.tool_calls)) == ("Let me look.", 1)

        async def amap():
            return [generation async for generation in client.amap([ASK] * 3, tools=[weather])]

        assert [it.reasoning for it in asyncio.run(amap())] == ["The city is Paris."] * 3


def test_a_model_that_answers_at_once():
    with (
        FakeTriton([WHOLE]) as server,
        InferenceClient("gpt", url=server.url, formatter="qwen3") as client,
    ):
        generation = client.generate(ASK, tools=[weather])
    assert (generation.text, len(generation.tool_calls)) == ("Let me look.", 1)


def test_an_error_has_the_answers_text_so_far():
    reply = [*pieces(WHOLE[: WHOLE.index(CALL)]), "<tool_ca", fail("out of memory")]
    with (
        FakeTriton(reply) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
        pytest.raises(RequestError) as caught,
    ):
        client.generate(ASK, tools=[weather])
    assert caught.value.partial_text.rstrip() == "Let me look.\n<tool_ca"
    assert not caught.value.retryable


def test_an_error_in_the_reasoning_is_not_retried():
    """What came was read, though it is no text."""
    with (
        FakeTriton(["<think>a", " b", fail("unavailable")]) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
        pytest.raises(RequestError) as caught,
    ):
        client.generate(ASK)
    assert (caught.value.partial_text, caught.value.retryable) == ("", False)


def test_a_stop_string_ends_a_call_of_a_format_without_an_end():
    call = '<|python_tag|>{"name": "weather", "parameters": {"city": "Paris"}}'
    with (
        FakeTriton([call, "<|eot_id|>", "more"]) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="llama-3.1") as client,
        client.stream(ASK, tools=[weather]) as stream,
    ):
        events = list(stream.events())
    assert [event.parsed for event in events if isinstance(event, ToolCall)] == [{"city": "Paris"}]
    assert events[-1].generation.tool_calls[0].name == "weather"


def test_a_cut_call_is_none():
    reply = Reply([*pieces(CALL[:40])], finish_reason="length")
    with (
        FakeTriton(reply) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        generation = client.generate(ASK, tools=[weather])
    assert (generation.tool_calls, generation.finish_reason) == ((), "length")


def test_a_forced_call_that_was_cut_says_so():
    reply = Reply(['{"name": "weather", "argum'], finish_reason="length")
    signature = text_signature("guided.streaming", guided=True)
    with (
        FakeTriton(reply, models=[signature]) as server,
        StreamingClient("guided.streaming", url=server.url, formatter="qwen3") as client,
        pytest.raises(
            OutputError, match=r"the text was cut at max_tokens.*give a larger max_tokens"
        ) as caught,
    ):
        client.generate(ASK, tools=[weather], tool_choice="weather")
    assert len(caught.value.violations) == 1
    assert caught.value.generation.tool_calls == ()


def test_a_stream_that_is_left_has_what_came():
    with (
        FakeTriton([*pieces(WHOLE), "x" * 10]) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        stream = client.stream(ASK, tools=[weather])
        for event in stream.events():
            if isinstance(event, TextDelta):
                break
        stream.close()
        assert stream.result().reasoning == "The city is Paris."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tools": [weather], "tool_choice": "wether"}, "did you mean 'weather'"),
        ({"tool_choice": "required"}, "must be given with tools"),
        ({"tools": [weather], "tool_choice": 3}, "tool_choice must be"),
        ({"tools": "weather"}, "tools must be a list"),
        ({"tools": [weather, weather]}, "different names"),
        ({"reasoning": "hide"}, "reasoning must be 'separate' or 'include'"),
        ({"tools": [weather], "tool_choice": "weather", "response_format": "json"}, "must be left out"),
        ({"tools": [weather], "tool_choice": "weather"}, "no input for tool_choice"),
    ],
)
def test_what_is_refused_before_anything_is_sent(options, words):
    with (
        FakeTriton() as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        with pytest.raises(ConfigurationError, match=words):
            client.generate(ASK, **options)
        assert not server.requests


def test_a_family_without_tools_says_so():
    with StreamingClient("gpt.streaming", url="127.0.0.1:1", formatter="zephyr") as client:
        with pytest.raises(ConfigurationError, match="it is not known how its models write calls"):
            client.generate(ASK, tools=[weather])
        with pytest.raises(ConfigurationError, match="tools must be given with a list of messages"):
            client.generate("a text", tools=[weather])


def test_none_offers_no_tools():
    with (
        FakeTriton([CALL]) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
    ):
        assert not client.generate(ASK, tools=[weather], tool_choice="none").tool_calls
        client.generate(ASK, tools=[weather])
        prompts = [request.prompt for request in server.requests]
    assert "weather" not in prompts[0].replace("the weather", "")
    assert '"name": "weather"' in prompts[1]


class TestForcedWithoutTheServer:
    """``enforce="validate"``: asked again until there is the call."""

    @pytest.fixture
    def server(self):
        wrong = '<tool_call>{"name": "weather", "arguments": {"city": 5}}</tool_call>'
        answers = iter(["I do not know.", wrong, CALL])
        with FakeTriton(lambda _request: [next(answers)]) as server:
            yield server

    def test_the_right_call_comes_in_the_end(self, server):
        with StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client:
            generation = client.generate(ASK, tools=[weather], tool_choice="required", enforce="validate")
        assert generation.tool_calls[0].parsed["city"] == "Paris"
        assert len(server.requests) == 3

    def test_or_it_is_an_error_that_says_what_is_wrong(self, server):
        with (
            StreamingClient("gpt.streaming", url=server.url, formatter="qwen3") as client,
            pytest.raises(OutputError, match="did not call a tool as tool_choice asks") as caught,
        ):
            client.generate(ASK, tools=[weather], tool_choice="weather", enforce="validate", output_retries=1)
        assert caught.value.violations[0].startswith("weather: ")


def test_tools_of_a_client_are_for_every_conversation():
    tool = Tool(
        "weather", "Tell the weather.", {"type": "object", "properties": {"city": {"type": "string"}}}
    )
    with (
        FakeTriton([CALL]) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter="qwen3", tools=[tool]) as client,
    ):
        assert client.generate(ASK).tool_calls
        assert client.generate("a text").text == CALL
        assert json.loads(client.generate(ASK).tool_calls[0].arguments) == {"city": "Paris", "days": 2}
