"""Agents of LangChain and graphs of LangGraph."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, TypedDict

import pytest
from needed import need

need("langchain")

from integrations.langchain.servers import chat, serve, weather
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel

from nupic_client.testing import silence


class Report(BaseModel):
    """A report of the weather in a city."""

    city: str
    sky: str


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@pytest.fixture
def server():
    with serve() as server:
        yield server


def ask(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}]}


class TestScripted:
    def test_an_agent_with_tools(self, server):
        agent = create_agent(chat(server), tools=[weather, multiply])
        messages = agent.invoke(ask("How is the weather in Paris?"))["messages"]
        assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert messages[2].content == "Paris: sunny"
        assert "Paris: sunny" in messages[3].text

    async def test_an_async_agent(self, server):
        agent = create_agent(chat(server), tools=[weather, multiply])
        messages = (await agent.ainvoke(ask("multiply 6 and 7")))["messages"]
        assert messages[-1].text == "36"  # the scripted model takes the first number twice

    def test_a_form_without_tools_is_enforced_by_the_server(self, server):
        agent = create_agent(chat(server), tools=[], response_format=Report)
        found = agent.invoke(ask("Rome"))["structured_response"]
        assert isinstance(found, Report)
        assert len(server.requests) == 1
        assert "sky" in server.requests[0].inputs["guided_decoding_guide"]

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_form_with_tools(self, server, asynchronous):
        agent = create_agent(chat(server), tools=[weather], response_format=Report)
        question = ask("How is the weather in Paris?")
        found = asyncio.run(agent.ainvoke(question)) if asynchronous else agent.invoke(question)
        kinds = [type(message) for message in found["messages"]]
        assert kinds == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert found["structured_response"].city == "Paris"

    def test_a_form_as_a_tool(self, server):
        agent = create_agent(chat(server), tools=[], response_format=ToolStrategy(Report))
        assert isinstance(agent.invoke(ask("Rome"))["structured_response"], Report)

    def test_its_messages_stream(self, server):
        agent = create_agent(chat(server), tools=[weather, multiply])
        told = list(agent.stream(ask("How is the weather in Paris?"), stream_mode="messages"))
        chunks = [message for message, _ in told if isinstance(message, AIMessageChunk)]
        assert any(chunk.tool_call_chunks for chunk in chunks)
        assert [chunk.text for chunk in chunks if chunk.text] == ["Paris:", " sunny"]


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]


class TestGraphs:
    @pytest.fixture
    def graph(self, server):
        model = chat(server)
        graph = StateGraph(State)

        def node(state: State) -> dict[str, Any]:
            return {"messages": [model.invoke(state["messages"])]}

        async def anode(state: State) -> dict[str, Any]:
            return {"messages": [await model.ainvoke(state["messages"])]}

        def compiled(function):
            graph.add_node("node", function)
            graph.add_edge(START, "node")
            graph.add_edge("node", END)
            return graph.compile()

        compiled.sync, compiled.flavour = node, anode
        return compiled

    def test_a_node_streams_token_by_token(self, graph):
        told = graph(graph.sync).stream(ask("one two"), stream_mode="messages")
        assert [message.text for message, _ in told] == ["You", " said:", " one", " two", ""]

    async def test_an_async_node_does_too(self, graph):
        told = graph(graph.flavour).astream(ask("one two"), stream_mode="messages")
        assert [message.text async for message, _ in told] == ["You", " said:", " one", " two", ""]

    async def test_leaving_a_graph_cancels_on_the_server(self, server, graph):
        server.reply = ["Once", " upon", silence()]
        async for message, _ in graph(graph.flavour).astream(ask("one"), stream_mode="messages"):
            if message.text == " upon":
                break
        await asyncio.to_thread(server.wait_for_cancellation)


@pytest.mark.model
@pytest.mark.slow
class TestEmbeddedModel:
    """A real model of 135 million parameters: it may answer nonsense, but the agent runs to its end."""

    def test_an_agent_with_two_tools_runs_to_its_end(self, local_server):
        model = chat(local_server, temperature=0, max_tokens=150, repetition_penalty=1.3)
        calls = []

        def capital(country: str) -> str:
            """Tell the capital of a country."""
            calls.append(country)
            return "Rome"

        def time_of_day(zone: str) -> str:
            """Tell the time of day in a time zone."""
            calls.append(zone)
            return "12:30"

        # This small a model seldom calls a tool by itself.
        @wrap_model_call
        def first_a_tool(request, handler):
            if not any(isinstance(message, ToolMessage) for message in request.messages):
                return handler(request.override(tool_choice="any"))
            return handler(request)

        agent = create_agent(model, tools=[capital, time_of_day], middleware=[first_a_tool])
        messages = agent.invoke(ask("What is the capital of Italy?"), config={"recursion_limit": 8})[
            "messages"
        ]
        assert len(calls) >= 1
        assert isinstance(messages[-1], AIMessage)
        assert messages[-1].text
        assert not messages[-1].tool_calls
