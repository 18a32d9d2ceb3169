"""Tools: offered, forced, called, and their results, also while the answer streams."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from needed import need

need("llama_index")

from integrations.llama_index.conftest import make_llm, models
from integrations.llama_index.flavours import COMPLETIONS, ask, run
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.tools import FunctionTool

from nupic_client import ConfigurationError
from nupic_client.testing import FakeTriton, competent_model, text_signature

METHODS = ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")
STREAMS = METHODS[2:]
WEATHER = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris", "days": 3}}\n</tool_call>'
SUM = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'


def weather(city: str, days: int = 1) -> str:
    """Tell how the weather in a city is."""
    return f"{city}: sunny for {days} days"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOLS = [FunctionTool.from_defaults(weather), FunctionTool.from_defaults(add)]


def calls(llm, response, **options):
    return [
        (call.tool_name, call.tool_kwargs) for call in llm.get_tool_calls_from_response(response, **options)
    ]


@pytest.mark.parametrize("method", METHODS)
def test_the_model_calls_a_tool(llm, method):
    *_, last = run(getattr(llm, method)(TOOLS, user_msg="How is the weather in Paris?"))
    (call,) = llm.get_tool_calls_from_response(last)
    assert (call.tool_name, call.tool_kwargs["city"]) == ("weather", "Paris")
    assert call.tool_id
    assert last.raw["usage"]["total_tokens"] > 3
    assert TOOLS[0](**call.tool_kwargs).raw_output.startswith("Paris: sunny")


@pytest.mark.parametrize("method", METHODS)
def test_the_model_answers_without_a_call(llm, method):
    *_, last = run(getattr(llm, method)(TOOLS, user_msg="Hello!"))
    assert last.message.content == "You said: Hello!"
    assert calls(llm, last, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="at least one call of a tool"):
        llm.get_tool_calls_from_response(last)


@pytest.mark.parametrize("method", METHODS)
def test_text_streams_while_tools_are_offered(method):
    with FakeTriton(["Let me ", "see. ", WEATHER], models=models()) as server:
        llm = make_llm(server.url)
        responses = run(getattr(llm, method)(TOOLS, user_msg="How is the weather?"))
    last = responses[-1]
    assert calls(llm, last) == [("weather", {"city": "Paris", "days": 3})]
    assert last.message.content.startswith("Let me see.")
    if method in STREAMS:
        assert "".join(response.delta for response in responses).strip() == "Let me see."
        assert responses[0].delta == "Let me"  # blanks wait: a call may follow


@pytest.mark.parametrize("method", STREAMS)
def test_arguments_stream_as_they_are_written(method):
    pieces = [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Par',
        'is", "days"',
        ": 3}}\n</tool_call>",
    ]
    with FakeTriton(pieces, models=models()) as server:
        llm = make_llm(server.url)
        responses = run(getattr(llm, method)(TOOLS, user_msg="How is the weather?"))
    seen = [calls(llm, response, error_on_no_tool_call=False) for response in responses]
    assert [("weather", {"city": None})] in seen
    written = [response.message.blocks[-1].tool_kwargs for response in responses[1:-2]]
    assert all(longer.startswith(shorter) for shorter, longer in itertools.pairwise(written))
    assert '{"city": "Par' in written
    assert seen[-1] == [("weather", {"city": "Paris", "days": 3})]
    identities = {
        call.tool_id
        for response in responses
        for call in llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    }
    assert len(identities) == 1


@pytest.mark.parametrize("method", METHODS)
def test_there_may_be_several_calls(method):
    with FakeTriton([WEATHER, "\n", SUM], models=models()) as server:
        llm = make_llm(server.url)
        both = run(getattr(llm, method)(TOOLS, user_msg="Both?", allow_parallel_tool_calls=True))
        one = run(getattr(llm, method)(TOOLS, user_msg="Both?"))
    assert [name for name, _ in calls(llm, both[-1])] == ["weather", "add"]
    assert [name for name, _ in calls(llm, one[-1])] == ["weather"]
    assert all(len(calls(llm, response, error_on_no_tool_call=False)) <= 1 for response in one)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("choice", ["add", {"type": "function", "function": {"name": "add"}}])
def test_a_tool_may_be_forced(llm, server, method, choice):
    *_, last = run(getattr(llm, method)(TOOLS, user_msg="How is the weather in Paris?", tool_choice=choice))
    ((name, arguments),) = calls(llm, last)
    assert (name, set(arguments)) == ("add", {"a", "b"})
    assert server.requests[-1].inputs["guided_decoding_guide_type"]


@pytest.mark.parametrize("method", METHODS)
def test_a_call_may_be_required(llm, server, method):
    *_, last = run(getattr(llm, method)(TOOLS, user_msg="Hello!", tool_required=True))
    assert len(calls(llm, last)) == 1
    *_, last = run(getattr(llm, method)(TOOLS, user_msg="Hello!", tool_choice="none"))
    assert calls(llm, last, error_on_no_tool_call=False) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_cannot_force_says_so(method):
    with FakeTriton(models=[text_signature("qwen3")]) as server:
        llm = make_llm(server.url)
        with pytest.raises(ConfigurationError, match="enforce"):
            run(getattr(llm, method)(TOOLS, user_msg="Hello!", tool_required=True))


@pytest.mark.parametrize("method", METHODS)
def test_no_tools_are_no_tools(llm, server, method):
    *_, last = run(getattr(llm, method)([], user_msg="Hello!", tool_required=True, tool_choice=None))
    assert last.message.content == "You said: Hello!"
    assert "tool" not in server.requests[-1].prompt


@pytest.mark.parametrize("method", METHODS)
def test_a_call_that_was_cut_off_is_text(method):
    with FakeTriton(["Well. ", WEATHER[:60]], models=models()) as server:
        llm = make_llm(server.url)
        responses = run(getattr(llm, method)(TOOLS, user_msg="How is the weather?"))
    last = responses[-1]
    assert calls(llm, last, error_on_no_tool_call=False) == []
    assert "<tool_call>" in last.message.content
    assert last.raw["invalid_tool_calls"] == [WEATHER[:60]]
    if method in STREAMS:
        assert "".join(response.delta for response in responses) == last.message.content
        assert not any(isinstance(block, ToolCallBlock) for block in responses[-2].message.blocks)


@pytest.mark.parametrize("method", METHODS)
def test_results_go_back_to_the_model(llm, method):
    history = [ChatMessage("How is the weather in Paris?")]
    *_, asked = run(getattr(llm, method)(TOOLS, chat_history=history))
    (call,) = llm.get_tool_calls_from_response(asked)
    result = ChatMessage("sunny", role="tool", additional_kwargs={"tool_call_id": call.tool_id})
    *_, last = run(getattr(llm, method)(TOOLS, chat_history=[*history, asked.message, result]))
    assert last.message.content == "sunny"


def test_reasoning_and_calls_go_back_to_the_model():
    with FakeTriton(competent_model("qwen3", reasoning=True), models=models()) as server:
        llm = make_llm(server.url)
        history = [ChatMessage("How is the weather in Paris?")]
        asked = llm.chat_with_tools(TOOLS, chat_history=history)
        (call,) = llm.get_tool_calls_from_response(asked)
        result = ChatMessage("sunny", role="tool", additional_kwargs={"tool_call_id": call.tool_id})
        llm.chat_with_tools(TOOLS, chat_history=[*history, asked.message, result])
        assert "I look at what the user wants." in server.requests[-1].prompt
        assert '{"name": "weather"' in server.requests[-1].prompt


def test_a_tool_is_called_and_its_result_returned(llm):
    found = llm.predict_and_call(TOOLS, user_msg="How is the weather in Paris?")
    assert found.response.startswith("Paris: sunny")

    async def same():
        return await llm.apredict_and_call(TOOLS, user_msg="How is the weather in Paris?")

    assert asyncio.run(same()).response == found.response


def test_tools_may_be_given_to_chat(llm):
    response = llm.chat([ChatMessage("How is the weather in Paris?")], tools=TOOLS)
    assert calls(llm, response)[0][0] == "weather"
    response = llm.chat([ChatMessage("How is the weather in Paris?")], tools=[weather])
    assert calls(llm, response)[0][0] == "weather"


@pytest.mark.parametrize("method", COMPLETIONS)
def test_a_completion_has_no_place_for_calls(method):
    with FakeTriton(["Well. ", WEATHER, " Done."], models=models()) as server:
        *_, last = ask(make_llm(server.url), method, "How is the weather?", tools=TOOLS)
    assert "weather" not in last.text
    assert last.text.startswith("Well.")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": "x', {"a": None}),
        ("", {}),
        ("nothing", {}),
        ("[1]", {}),
    ],
)
def test_arguments_are_read_as_far_as_they_go(llm, written, read):
    block = ToolCallBlock(tool_name="add", tool_kwargs=written)
    response = ChatResponse(message=ChatMessage(role="assistant", blocks=[block]))
    assert calls(llm, response) == [("add", read)]
