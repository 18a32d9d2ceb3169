"""Agents with tools run to their end, and a small index answers from its documents."""

from __future__ import annotations

import asyncio

import pytest
from needed import need

need("llama_index")

from integrations.llama_index.conftest import make_llm, models
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.tools import QueryEngineTool
from pydantic import BaseModel

from nupic_client import InferenceError
from nupic_client.integrations.llama_index import NupicEmbedding
from nupic_client.testing import FakeTriton, Reply, competent_model, fail, silence

# What LlamaIndex warns of is its business.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

DOCUMENTS = [
    Document(text="Zebras have black and white stripes."),
    Document(text="Tulips flower in spring."),
    Document(text="Granite is a hard rock."),
]


def weather(city: str) -> str:
    """Tell how the weather in a city is."""
    return f"It is sunny in {city}."


async def population(country: str) -> str:
    """Tell how many people live in a country."""
    return f"Many people live in {country}."


def agent(llm, **options):
    return FunctionAgent(llm=llm, tools=[weather, population], **options)


async def watched(agent, question):
    """Return the answer of an agent and the events on the way to it."""
    handler = agent.run(question)
    events = [event async for event in handler.stream_events()]
    return await handler, events


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("reasoning", [True, False])
def test_an_agent_with_two_tools_runs_to_its_end(streaming, reasoning):
    with FakeTriton(competent_model("qwen3", reasoning=reasoning), models=models()) as server:
        llm = make_llm(server.url)
        question = "Call weather for Paris, then call population for Peru"
        answer, events = asyncio.run(watched(agent(llm, streaming=streaming), question))
        results = [
            (each.tool_name, each.tool_output.content) for each in events if isinstance(each, ToolCallResult)
        ]
        assert {name for name, _ in results} == {"weather", "population"}
        assert not any(each.tool_output.is_error for each in events if isinstance(each, ToolCallResult))
        assert str(answer).splitlines() == [content for _, content in results]
        assert answer.raw["usage"]["total_tokens"] > 0
        assert len(server.requests) == 3
        if streaming:
            told = [each for each in events if isinstance(each, AgentStream)]
            assert "".join(each.delta for each in told).strip().endswith(results[-1][1])
            assert any(each.thinking_delta for each in told) == reasoning


def test_an_agent_may_begin_with_a_tool_of_your_choice(llm, server):
    answer, events = asyncio.run(watched(agent(llm, initial_tool_choice="population"), "Hello!"))
    assert [each.tool_name for each in events if isinstance(each, ToolCallResult)] == ["population"]
    assert str(answer).startswith("Many people live in")
    assert server.requests[0].inputs["guided_decoding_guide_type"]
    assert "guided_decoding_guide_type" not in server.requests[1].inputs


def test_an_agent_may_do_without_tools_of_the_family():
    steps = [
        'Thought: I need a tool.\nAction: weather\nAction Input: {"city": "Paris"}',
        "Thought: I can answer without using any more tools.\nAnswer: It is sunny.",
    ]
    with FakeTriton(models=models()) as server:
        server.reply = lambda request: [steps[len(server.requests) - 1]]
        llm = make_llm(server.url, formatter="vicuna")
        assert not llm.metadata.is_function_calling_model
        answer, events = asyncio.run(watched(ReActAgent(llm=llm, tools=[weather]), "How is the weather?"))
        assert str(answer) == "It is sunny."
        assert [each.tool_name for each in events if isinstance(each, ToolCallResult)] == ["weather"]
        with pytest.raises(ValueError, match="FunctionCallingLLM"):
            asyncio.run(watched(agent(llm), "How is the weather?"))


def test_agents_hand_over_to_each_other(llm):
    team = AgentWorkflow(
        agents=[
            FunctionAgent(name="greeter", description="greets", llm=llm, can_handoff_to=["forecaster"]),
            FunctionAgent(name="forecaster", description="knows the sky", llm=llm, tools=[weather]),
        ],
        root_agent="greeter",
    )

    answer, events = asyncio.run(watched(team, "handoff to 'forecaster'"))
    assert "handoff" in {each.tool_name for each in events if isinstance(each, ToolCallResult)}
    assert answer.current_agent_name == "forecaster"


def test_an_agent_gives_an_object(llm):
    class City(BaseModel):
        name: str

    answer, _ = asyncio.run(watched(agent(llm, output_cls=City), "How is the weather in Paris?"))
    assert set(answer.structured_response) == {"name"}


def test_an_agent_that_fails_says_why():
    with FakeTriton(["One", fail("out of memory")], models=models()) as server:
        with pytest.raises(InferenceError, match="out of memory"):
            asyncio.run(watched(agent(make_llm(server.url)), "Hello!"))


def test_cancelling_an_agent_stops_the_server():
    with FakeTriton(Reply(["One", silence()]), models=models()) as server:

        async def cancel():
            handler = agent(make_llm(server.url)).run("Hello!")
            await asyncio.to_thread(server.wait_for_requests)
            await handler.cancel_run()
            await asyncio.to_thread(server.wait_for_cancellation)

        asyncio.run(cancel())


@pytest.fixture
def index(server):
    return VectorStoreIndex.from_documents(DOCUMENTS, embed_model=NupicEmbedding("words", server.url))


def test_an_index_finds_the_document(index):
    retriever = index.as_retriever(similarity_top_k=1)
    (found,) = retriever.retrieve("Which animals have stripes?")
    assert found.text == DOCUMENTS[0].text
    (found,) = asyncio.run(retriever.aretrieve("When do tulips flower?"))
    assert found.text == DOCUMENTS[1].text


@pytest.mark.parametrize("streaming", [True, False])
def test_an_index_answers_from_its_documents(index, llm, server, streaming):
    engine = index.as_query_engine(llm=llm, similarity_top_k=1, streaming=streaming)
    answer = str(engine.query("Which animals have stripes?"))
    assert DOCUMENTS[0].text in answer  # the model repeats its prompt

    async def same():
        found = await engine.aquery("Which animals have stripes?")
        return "".join([text async for text in found.async_response_gen()]) if streaming else str(found)

    assert asyncio.run(same()) == answer
    assert DOCUMENTS[1].text not in server.requests[-1].prompt


@pytest.mark.parametrize("mode", ["context", "condense_plus_context", "simple"])
def test_a_chat_with_an_index_goes_on(index, llm, server, mode):
    engine = index.as_chat_engine(chat_mode=mode, llm=llm, similarity_top_k=1)
    assert str(engine.chat("Which animals have stripes?")) == "You said: Which animals have stripes?"
    stream = engine.stream_chat("When do tulips flower?")
    assert "".join(stream.response_gen) == "You said: When do tulips flower?"
    prompt = server.requests[-1].prompt
    assert "You said: Which animals have stripes?" in prompt


def test_an_agent_asks_an_index(index, llm):
    engine = index.as_query_engine(llm=llm, similarity_top_k=1)
    tool = QueryEngineTool.from_defaults(engine, name="zoology", description="Knows animals.")
    answer, events = asyncio.run(
        watched(FunctionAgent(llm=llm, tools=[tool]), "Ask zoology about 'animals with stripes'")
    )
    assert [each.tool_name for each in events if isinstance(each, ToolCallResult)] == ["zoology"]
    assert DOCUMENTS[0].text in str(answer)


def test_they_may_be_the_settings(server, llm, monkeypatch):
    monkeypatch.setattr(Settings, "_llm", llm)
    monkeypatch.setattr(Settings, "_embed_model", NupicEmbedding("words", server.url))
    engine = VectorStoreIndex.from_documents(DOCUMENTS).as_query_engine(similarity_top_k=1)
    assert DOCUMENTS[2].text in str(engine.query("Is granite hard?"))
