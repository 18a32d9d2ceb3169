"""The page's code with pydantic-ai: an agent with a tool and typed output, and text as it comes."""

from __future__ import annotations

import asyncio

import pytest
from needed import need

need("pydantic_ai")

from pages import ROOT, run_blocks
from pydantic_ai import Agent
from pydantic_ai.messages import ThinkingPart

from nupic_client import DeadlineExceededError, LocalServer, Timeouts
from nupic_client.testing import FakeTriton, competent_model, silence, text_signature

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

PAGE = ROOT / "docs" / "recipes" / "pydantic-ai.md"
GUIDED = [text_signature("smollm2.streaming", guided=True)]


@pytest.fixture
def server():
    with FakeTriton(competent_model("smollm2"), models=GUIDED) as server:
        yield server


@pytest.fixture
def page(server):
    """The names that the page's code makes."""
    names = run_blocks(PAGE, server.url)
    server.clear()
    yield names
    names["client"].close()


def test_the_page_runs(server, capsys):
    names = run_blocks(PAGE, server.url)
    output, text = capsys.readouterr().out.splitlines()
    assert output.startswith("city='Oslo' degrees=")
    assert text == "You said: Why is the sky blue?"
    assert len(server.requests) == 3
    result = names["result"]
    assert result.usage.requests == 2
    assert result.usage.output_tokens > 0
    names["client"].close()


def test_the_embedded_model():
    """Its answers are poor, but they have the form."""
    with LocalServer() as server:
        names = run_blocks(PAGE, server.url)
        assert isinstance(names["result"].output, names["Weather"])
        names["client"].close()


def test_a_stream_with_a_tool_and_typed_output(page, server):
    async def run():
        async with page["agent"].run_stream("How is the weather in Rome?") as response:
            return await response.get_output()

    output = asyncio.run(run())
    assert output.city == "Rome"
    assert len(server.requests) == 2


def test_a_second_turn_knows_the_first(page, server):
    writer = Agent(page["model"], instructions="Be brief.")

    async def run():
        first = await writer.run("I am Ann.")
        return await writer.run("Who am I?", message_history=first.all_messages())

    assert asyncio.run(run()).output == "You said: Who am I?"
    prompt = server.requests[-1].prompt
    assert prompt.index("Be brief.") < prompt.index("You said: I am Ann.") < prompt.index("Who am I?")


def test_reasoning(page, server, monkeypatch):
    with FakeTriton(competent_model("smollm2"), models=GUIDED) as thinking:
        thinking.reply = ["<think>", "Hm.", "</think>", "Yes"]
        client = type(page["client"])("smollm2", thinking.url, formatter="qwen3")
        monkeypatch.setitem(page, "client", client)
        writer = Agent(page["model"])

        async def run():
            whole = await writer.run("Really?")
            async with writer.run_stream("Really?") as response:
                await response.get_output()
                return whole.all_messages()[-1], response.all_messages()[-1]

        for message in asyncio.run(run()):
            assert [part.content for part in message.parts if isinstance(part, ThinkingPart)] == ["Hm."]
        client.close()


def test_leaving_a_stream_cancels_it_on_the_server(page, server):
    server.reply = ["one ", "two", silence()]

    async def run():
        async with Agent(page["model"]).run_stream("Count") as response:
            async for text in response.stream_text(delta=True, debounce_by=None):
                assert text
                break
        await asyncio.to_thread(server.wait_for_cancellation, timeout=30)

    asyncio.run(run())


def test_an_error_is_ours(page, server):
    server.reply = ["one", silence()]
    with pytest.raises(DeadlineExceededError) as caught:
        asyncio.run(
            Agent(page["model"]).run("Count", model_settings={"timeout": Timeouts(between_tokens=0.3)})
        )
    assert caught.value.partial_text == "one"
