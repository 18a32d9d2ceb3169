"""`Conversation.stream_rounds`: each answer as a stream, with the calls run in between; and `run_tools` as a function."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json

import pytest

from nupic_client import ConfigurationError, Conversation, StreamingClient, StreamStateError
from nupic_client.errors import RequestError
from nupic_client.testing import FakeTriton, fail, silence

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"fine in {city}"


@pytest.fixture
def talk():
    """Make a conversation with a server that gives these answers one after the other."""
    with contextlib.ExitStack() as stack:

        def make(*answers):
            left = iter(answers)
            server = stack.enter_context(FakeTriton(lambda _request: next(left)))
            client = stack.enter_context(
                StreamingClient("gpt.streaming", url=server.url, formatter="qwen2.5")
            )
            return server, Conversation(client)

        yield make


@pytest.fixture(params=["sync", "async"])
def rounds(request):
    """Take the answers of all rounds; return their texts. ``leave`` ends it after so many rounds."""

    def take(conversation, text="And?", leave=None, **options):
        texts = []
        if request.param == "sync":
            with contextlib.closing(conversation.stream_rounds(text, tools=[weather], **options)) as streams:
                for stream in streams:
                    texts.append("".join(stream))
                    if len(texts) == leave:
                        break
            return texts

        async def atake():
            streams = conversation.astream_rounds(text, tools=[weather], **options)
            async with contextlib.aclosing(streams):
                async for stream in streams:
                    texts.append("".join([chunk async for chunk in stream]))
                    if len(texts) == leave:
                        break

        asyncio.run(atake())
        return texts

    return take


def test_each_answer_is_a_stream(rounds, talk):
    server, conversation = talk(["Wait. ", CALL], ["Fine", " there."])
    assert [text.strip() for text in rounds(conversation)] == ["Wait.", "Fine there."]
    assert [message.role for message in conversation.messages] == ["user", "assistant", "tool", "assistant"]
    assert "fine in Rome" in server.requests[1].prompt


def test_a_function_runs_the_calls_in_place_of_the_tools_own(rounds, talk):
    server, conversation = talk([CALL], ["Fine."])
    seen = []

    def run(call):
        seen.append((call.name, dict(call.parsed)))
        return {"asked": True}

    rounds(conversation, run_tools=run)
    assert seen == [("weather", {"city": "Rome"})]
    assert json.loads(conversation.messages[2].content) == {"asked": True}
    assert "fine in Rome" not in server.requests[1].prompt


def test_a_refusal_is_told_to_the_model(rounds, talk):
    server, conversation = talk([CALL], ["Well."])

    def refuse(_call):
        raise PermissionError("the user said no")

    assert rounds(conversation, run_tools=refuse)[-1] == "Well."
    assert "Error: PermissionError: the user said no" in server.requests[1].prompt


def test_without_run_tools_it_ends_with_the_first_answer(rounds, talk):
    server, conversation = talk([CALL])
    assert len(rounds(conversation, run_tools=False)) == 1
    assert len(server.requests) == 1
    assert conversation.messages[-1].tool_calls


def test_leaving_it_early_drops_the_exchange(rounds, talk):
    _, conversation = talk(["Hello."], [CALL], ["Fine."])
    rounds(conversation, "Hi")
    before = conversation.messages
    assert len(rounds(conversation, leave=1)) == 1
    assert conversation.messages == before


def test_a_request_that_fails_drops_the_exchange(rounds, talk):
    _, conversation = talk([CALL], ["Once", fail("out of ideas")])
    with pytest.raises(RequestError, match="out of ideas"):
        rounds(conversation)
    assert conversation.messages == ()


def test_an_answer_that_is_stopped_is_the_last(talk):
    _, conversation = talk(["Well", " then", CALL], ["Fine."])
    for stream in conversation.stream_rounds("And?", tools=[weather]):
        next(stream)
        stream.close()
    assert [message.text for message in conversation.messages] == ["And?", "Well"]


def test_what_is_wrong_is_said_before_the_first_round(talk):
    _, conversation = talk()
    with pytest.raises(ConfigurationError, match="run_tools must be given with tools"):
        conversation.stream_rounds("And?")
    with pytest.raises(ConfigurationError, match="run_tools must be True, False or a function"):
        conversation.stream_rounds("And?", tools=[weather], run_tools="yes")

    async def later(_call):
        return "x"

    with pytest.raises(ConfigurationError, match="must be a plain function here, not an async one"):
        conversation.generate("And?", tools=[weather], run_tools=later)


def test_an_async_function_may_run_the_calls(talk):
    _, conversation = talk([CALL], ["Fine."])

    async def run(call):
        await asyncio.sleep(0)
        return call.name.upper()

    answer = asyncio.run(conversation.agenerate("And?", tools=[weather], run_tools=run))
    assert answer.text == "Fine."
    assert conversation.messages[2].content == "WEATHER"


def test_breaking_out_of_an_async_loop_drops_the_exchange_at_once(talk):
    """Python closes the generator of the loop later; meanwhile the next message was sent with a call without a result."""
    server, conversation = talk([CALL], ["Fine."])

    async def main():
        async for stream in conversation.astream_rounds("And?", tools=[weather]):
            assert await stream.result()
            break
        assert conversation.messages == ()
        await conversation.agenerate("Hi")
        for _ in range(3):  # the generator is closed now
            await asyncio.sleep(0)

    asyncio.run(main())
    assert [message.text for message in conversation.messages] == ["Hi", "Fine."]
    assert "And?" not in server.requests[1].prompt


def test_nothing_is_said_between_a_call_and_its_result(talk):
    server, conversation = talk([CALL], ["Fine."], ["Hello."])
    refused = []

    def nosy(city: str) -> str:
        """Talk in the middle of a call."""
        for use in (
            lambda: conversation.generate("Hi"),
            conversation.clear,
            conversation.undo,
            lambda: next(conversation.stream_rounds("Hi", tools=[weather])),
        ):
            with pytest.raises(
                StreamStateError, match="the calls of the last answer are still to be run"
            ) as caught:
                use()
            refused.append(caught.value)
        return city

    nosy.__name__ = "weather"
    assert conversation.generate("And?", tools=[nosy], run_tools=True).text == "Fine."
    assert len(refused) == 4
    assert conversation.generate("Hi").text == "Hello."
    assert [message.role for message in conversation.messages][:4] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert len(server.requests) == 3


def test_what_is_said_after_complete_rounds_stays_when_their_loop_is_closed(talk):
    _, conversation = talk(["Hello."], ["Fine."])
    rounds = conversation.stream_rounds("Hi", tools=[weather])
    assert next(rounds).result().text == "Hello."
    conversation.generate("And?")
    rounds.close()
    assert [message.text for message in conversation.messages] == ["Hi", "Hello.", "And?", "Fine."]


def test_a_copy_in_the_middle_has_the_messages_so_far(talk):
    _, conversation = talk([CALL], ["Fine."])
    for stream in conversation.stream_rounds("And?", tools=[weather]):
        stream.result()
        twin = copy.copy(conversation)
    assert len(conversation.messages) == 4
    assert twin.messages == conversation.messages


def test_an_answer_that_outlives_its_exchange_is_not_kept(talk):
    _, conversation = talk(["One", silence()])
    for stream in conversation.stream_rounds("Hi", tools=[weather]):
        next(stream)
        break
    assert conversation.messages == ()
    stream.close()
    assert conversation.messages == ()
