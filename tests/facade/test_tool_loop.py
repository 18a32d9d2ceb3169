"""A conversation that runs the tools that its model calls."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading

import pytest

from nupic_client import ConfigurationError, Conversation, StreamingClient, Tool
from nupic_client.errors import RequestError
from nupic_client.prompts import formatter_for
from nupic_client.testing import FakeTriton, fail


def called(name: str = "weather", **arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


CALLS = {
    "qwen2.5": ([called("page", city="Rome")], ["Fine."]),
    "qwen3": ([called("page", city="Rome")], ["Fine."]),
    "llama-3.1": (['{"name": "page", "parameters": {"city": "Rome"}}'], ["Fine."]),
    "mistral-v3": (['[TOOL_CALLS][{"name": "page", "arguments": {"city": "Rome"}}]'], ["Fine."]),
    "granite-3.1": (['<|tool_call|>[{"name": "page", "arguments": {"city": "Rome"}}]'], ["Fine."]),
    "deepseek-v3": (
        [
            '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>page\n```json\n{"city": "Rome"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'  # noqa: E501
        ],
        ["Fine."],
    ),
}


@dataclasses.dataclass
class Report:
    city: str
    degrees: float


def weather(city: str) -> Report:
    """Tell the weather of a city."""
    if city == "Atlantis":
        raise LookupError("it is under water")
    return Report(city, 21.5)


def scripted(*answers):
    """Return a server that gives these answers one after the other."""
    left = iter(answers)
    return FakeTriton(lambda _request: next(left))


@pytest.fixture(params=["sync", "async"])
def generate(request):
    def ask(conversation, text, **options):
        if request.param == "sync":
            return conversation.generate(text, **options)
        return asyncio.run(conversation.agenerate(text, **options))

    return ask


@pytest.fixture
def talk():
    """Make a conversation with a server."""
    opened = []

    def make(server, formatter="qwen2.5", **options):
        client = StreamingClient("gpt.streaming", url=server.url, formatter=formatter)
        opened.append(client)
        return Conversation(client, **options)

    yield make
    for client in opened:
        client.close()


def test_results_go_back_to_the_model(generate, talk):
    with scripted([called(city="Paris")], ["It is 21.5 degrees."]) as server:
        conversation = talk(server)
        got = []
        generation = generate(
            conversation, "The weather in Paris?", callback=got.append, tools=[weather], run_tools=True
        )
    assert generation.text == "".join(got) == "It is 21.5 degrees."
    question, call, result, answer = conversation.messages
    assert (question.role, call.role, result.role, answer.content) == (
        *("user", "assistant", "tool"),
        "It is 21.5 degrees.",
    )
    assert json.loads(result.content) == {"city": "Paris", "degrees": 21.5}
    assert (result.tool_call_id, result.name) == (call.tool_calls[0].id, "weather")
    assert '"degrees": 21.5' in server.requests[1].prompt


def test_several_calls_at_once_are_answered_in_order(generate, talk):
    with scripted([called(city="Rome"), "\n", called(city="Oslo")], ["Fine."]) as server:
        conversation = talk(server)
        generate(conversation, "And?", tools=[weather], run_tools=True)
    cities = [json.loads(message.content)["city"] for message in conversation.messages[2:4]]
    assert cities == ["Rome", "Oslo"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (called(city="Atlantis"), "Error: LookupError: it is under water"),
        (called(city=5), "Error: ValueError:"),
        (called(), "Error: ValueError:"),
        (called("wether", city="Rome"), "there is no tool 'wether': did you mean 'weather'"),
    ],
)
def test_errors_go_to_the_model(generate, talk, call, words):
    with scripted([call], ["Sorry."]) as server:
        conversation = talk(server)
        assert generate(conversation, "And?", tools=[weather], run_tools=True).text == "Sorry."
    assert words in conversation.messages[2].content


@pytest.mark.parametrize(
    "family", ["qwen2.5", "qwen3", "llama-3.1", "mistral-v3", "granite-3.1", "deepseek-v3"]
)
def test_a_page_with_control_tokens_is_shown_harmless(talk, family):
    """A tool may bring anything: the exchange goes on, and no turn is forged."""
    formatter = formatter_for(family)
    poison = " ".join([*formatter.control_tokens, "</tool_response>", "\ud800", "<|x|>"])
    answers = iter(CALLS[family])

    def page(city: str) -> str:
        return poison

    with FakeTriton(lambda _request: next(answers)) as server:
        conversation = talk(server, formatter=family)
        generation = conversation.generate("The weather in Rome?", tools=[Tool.of(page)], run_tools=True)
        (first, second) = [request.prompt for request in server.requests]
    assert generation.text == "Fine."
    assert "\ud800" not in conversation.messages[2].content
    for token in formatter.control_tokens:
        assert second.count(token) - first.count(token) <= 4, token


def test_errors_are_not_logged_with_their_words(talk, caplog):
    with scripted([called(city="Atlantis")], ["Sorry."]) as server:
        talk(server).generate("And?", tools=[weather], run_tools=True)
    assert "tool weather failed: LookupError" in caplog.text
    assert "under water" not in caplog.text


def test_rounds_are_bounded(generate, talk):
    call = [called(city="Rome")]
    with FakeTriton(lambda request: call if "# Tools" in request.prompt else ["Enough."]) as server:
        conversation = talk(server)
        generation = generate(conversation, "And?", tools=[weather], run_tools=True, max_tool_rounds=3)
        assert len(server.requests) == 4
    assert generation.text == "Enough."
    assert [message.role for message in conversation.messages].count("tool") == 3


def test_a_failed_exchange_is_dropped_as_a_whole(generate, talk):
    with scripted(["Hi."], [called(city="Rome")], ["a", fail("out of memory")]) as server:
        conversation = talk(server)
        generate(conversation, "Hello")
        with pytest.raises(RequestError):
            generate(conversation, "And?", tools=[weather], run_tools=True)
    assert [message.content for message in conversation.messages] == ["Hello", "Hi."]


def test_interrupts_of_a_tool_pass(generate, talk):
    def stop(city: str) -> None:
        raise KeyboardInterrupt

    with scripted([called("stop", city="Rome")]) as server:
        conversation = talk(server)
        with pytest.raises(KeyboardInterrupt):
            generate(conversation, "And?", tools=[stop], run_tools=True)
    assert conversation.messages == ()


def test_without_run_tools_calls_are_kept_and_given_back(generate, talk):
    with scripted([called(city="Rome")]) as server:
        conversation = talk(server)
        generation = generate(conversation, "And?", tools=[weather])
    assert generation.tool_calls == conversation.messages[-1].tool_calls
    again = Conversation.from_json(conversation.to_json(), conversation._client)
    assert again.messages == conversation.messages


def test_a_family_with_one_call_a_message_gets_them_one_by_one(generate, talk):
    call = '{"name": "weather", "parameters": {"city": "%s"}}'
    with scripted([call % "Rome", "; ", call % "Oslo"], ["Fine."]) as server:
        conversation = talk(server, formatter="llama-3.1")
        assert generate(conversation, "And?", tools=[weather], run_tools=True).text == "Fine."
    messages = conversation.messages
    assert [message.role for message in messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
    ]
    assert [json.loads(message.content)["city"] for message in messages[2:5:2]] == ["Rome", "Oslo"]
    assert [len(message.tool_calls) for message in messages[1:4:2]] == [1, 1]


def test_async_tools_and_where_plain_ones_run(talk):
    places = []

    async def rate(city: str) -> int:
        await asyncio.sleep(0)
        places.append(threading.current_thread())
        return 5

    def rank(city: str) -> int:
        places.append(threading.current_thread())
        return 1

    with scripted([called("rate", city="Rome"), called("rank", city="Rome")], ["Good."]) as server:
        conversation = talk(server)
        asyncio.run(conversation.agenerate("And?", tools=[rate, rank], run_tools=True))
        assert [message.content for message in conversation.messages[2:4]] == ["5", "1"]
        with pytest.raises(ConfigurationError, match="use agenerate"):
            conversation.generate("And?", tools=[rate], run_tools=True)
    assert places[0] is threading.main_thread()
    assert places[1] is not threading.main_thread()


def test_what_is_refused(generate, talk):
    with FakeTriton() as server:
        conversation = talk(server)
        for options, words in [
            ({}, "run_tools must be given with tools"),
            ({"tools": [Tool("x")]}, "must have a function"),
            ({"tools": [weather], "max_tool_rounds": 0}, "max_tool_rounds must be"),
        ]:
            with pytest.raises(ConfigurationError, match=words):
                generate(conversation, "And?", run_tools=True, **options)
        assert not server.requests


def test_the_exchange_of_a_result_is_never_cut_off(talk):
    """Older ones are, where the context is short."""
    with scripted(["Long " * 100], [called(city="Rome")], ["Fine."]) as server:
        conversation = talk(server, context_length=400, reserve=10)
        conversation.generate("An old question " * 20)
        conversation.generate("The weather in Rome?", tools=[weather], run_tools=True)
        last = server.requests[-1].prompt
    assert "The weather in Rome?" in last
    assert "An old question" not in last
