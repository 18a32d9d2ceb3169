"""The page for haystack runs as it is printed, and its component does what haystack expects."""

from __future__ import annotations

import asyncio
import os

import pytest
from needed import need

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # read when it is imported
need("haystack")

from haystack import Pipeline
from haystack.dataclasses import ChatMessage
from pages import ROOT, run_blocks

from nupic_client import InferenceError
from nupic_client.testing import FakeTriton, Reply, competent_model, fail, silence, text_signature

PAGE = ROOT / "docs/recipes/haystack.md"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def server():
    models = [text_signature("smollm2.streaming", guided=True)]
    with FakeTriton(competent_model("smollm2"), models=models) as server:
        yield server


@pytest.fixture
def names(server, capsys):
    """What the page has made, after it ran."""
    names = run_blocks(PAGE, server.url)
    names["shown"] = capsys.readouterr().out
    server.clear()
    return names


def test_the_page_runs(names):
    assert "You said: Why is the sky blue?" in names["shown"]
    assert names["shown"].count("You said: Count to ten.") == 2
    assert names["shown"].strip().endswith("It is sunny in Paris.")
    calls = [call for message in names["answer"]["messages"] for call in message.tool_calls]
    assert [(call.tool_name, call.arguments) for call in calls] == [("weather", {"city": "Paris"})]


def test_replies_are_alike_in_both_flavours(names):
    def known(found):
        (reply,) = found["replies"]
        return reply.to_dict()

    llm = names["llm"]
    expected = known(llm.run("Hello!"))
    assert expected["meta"]["usage"]["completion_tokens"] > 1
    assert known(asyncio.run(llm.run_async("Hello!"))) == expected


def test_a_pipeline_can_be_written_and_read(names):
    written = names["pipeline"].to_dict()["components"]["llm"]["init_parameters"]
    assert written["temperature"] == 0
    assert type(names["llm"]).__name__ == "NupicChatGenerator"
    assert isinstance(names["pipeline"], Pipeline)


def test_a_conversation_goes_on(names, server):
    messages = [ChatMessage.from_system("Be brief."), ChatMessage.from_user("Hello!")]
    messages += names["llm"].run(messages)["replies"]
    names["llm"].run([*messages, ChatMessage.from_user("And now?")])
    prompt = server.requests[-1].prompt
    assert prompt.index("Be brief.") < prompt.index("You said: Hello!") < prompt.index("And now?")


def test_an_error_has_the_text_that_had_come(names, server):
    server.reply = ["One", fail("out of memory")]
    with pytest.raises(InferenceError) as caught:
        names["llm"].run("Count")
    assert caught.value.partial_text == "One"


def test_an_exception_in_a_callback_stops_the_server(names, server):
    server.reply = Reply(["One", silence()])

    def told(chunk):
        raise ZeroDivisionError

    async def told_async(chunk):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        names["llm"].run("Count", streaming_callback=told)
    server.wait_for_cancellation(1)

    async def main():
        with pytest.raises(ZeroDivisionError):
            await names["llm"].run_async("Count", streaming_callback=told_async)
        await asyncio.to_thread(server.wait_for_cancellation, 2)

    asyncio.run(main())
