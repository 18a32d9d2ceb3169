"""What LiteLLM's callers get: text, calls of tools, forms, reasoning and usage, the same in all four ways."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading

import pytest
from needed import need

need("litellm")

from integrations.litellm.ways import MODEL, WAYS, ask
from pydantic import BaseModel

from nupic_client.integrations.litellm import NupicProvider, provider, register
from nupic_client.testing import FakeTriton, competent_model, text_signature

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default", "ignore:Item:UserWarning")]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell how the weather in a city is.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "now", "description": "Tell the time."}}


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


def test_a_text(litellm, server, way):
    response = ask(litellm, way, server.url, "Hello there")
    (choice,) = response.choices
    (request,) = server.requests
    assert choice.message.content == "You said: Hello there"
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    assert "<|im_start|>user\nHello there<|im_end|>" in request.prompt
    assert response.id == request.request_id
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens
    assert response.usage.completion_tokens == 4


def test_the_ways_agree(litellm, server):
    answers = [ask(litellm, way, server.url, "The weather in Oslo?", tools=[WEATHER, CLOCK]) for way in WAYS]
    seen = set()
    for response in answers:
        (choice,) = response.choices
        (call,) = choice.message.tool_calls
        usage = response.usage
        seen.add(
            (
                choice.finish_reason,
                choice.message.content,
                call.function.name,
                call.function.arguments,
                usage.prompt_tokens,
                usage.completion_tokens,
            )
        )
    assert len(seen) == 1, seen


@pytest.mark.parametrize("name", ["completion", "streaming", "embedding"])
def test_the_async_twins_take_the_same(name):
    sync, twin = (getattr(NupicProvider, each) for each in (name, f"a{name}"))
    assert inspect.signature(sync).parameters == inspect.signature(twin).parameters
    assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin)


def test_tools(litellm, server, way):
    messages = [{"role": "user", "content": "How is the weather in Paris?"}]
    response = ask(litellm, way, server.url, messages=messages, tools=[WEATHER, CLOCK])
    (choice,) = response.choices
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Paris"}

    # LiteLLM's own object goes back as it is
    messages += [
        choice.message,
        {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": "sunny, 21 degrees"},
    ]
    (choice,) = ask(litellm, way, server.url, messages=messages, tools=[WEATHER, CLOCK]).choices
    assert choice.finish_reason == "stop"
    assert choice.message.content == "sunny, 21 degrees"
    assert not choice.message.tool_calls


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", None),
        ("required", "get_weather"),
        ({"type": "function", "function": {"name": "now"}}, "now"),
    ],
    ids=["none", "required", "named"],
)
def test_tool_choice(litellm, server, way, choice, called):
    response = ask(
        litellm, way, server.url, "The weather in Rome?", tools=[WEATHER, CLOCK], tool_choice=choice
    )
    calls = response.choices[0].message.tool_calls
    assert [call.function.name for call in calls or []] == ([called] if called else [])


@pytest.mark.parametrize(
    "form",
    [
        City,
        {"type": "json_schema", "json_schema": {"name": "city", "schema": City.model_json_schema()}},
        {"type": "json_object"},
    ],
    ids=["class", "schema", "object"],
)
def test_response_format(litellm, server, way, form):
    response = ask(litellm, way, server.url, "Rome has 3 inhabitants.", response_format=form)
    value = json.loads(response.choices[0].message.content)
    assert value == {} if form == {"type": "json_object"} else City.model_validate(value)
    assert response.choices[0].finish_reason == "stop"


def test_an_answer_that_max_tokens_cuts_is_no_error(litellm, server, way):
    """As with OpenAI's models: the caller sees why it ended."""
    response = ask(litellm, way, server.url, "Rome", response_format=City, max_tokens=1)
    assert response.choices[0].finish_reason == "length"
    assert response.choices[0].message.content


def test_reasoning(litellm, way):
    with FakeTriton(competent_model("qwen3", reasoning=True)) as server:
        message = ask(litellm, way, server.url, "Hello").choices[0].message
    assert message.reasoning_content.strip() == "I look at what the user wants."
    assert message.content == "You said: Hello"


def test_the_same_options_arrive(litellm, server, way):
    given = {
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "seed": 3,
        "frequency_penalty": 0.25,
        "presence_penalty": 0.5,
        "repetition_penalty": 1.5,
        "min_p": 0.125,
    }
    ask(litellm, way, server.url, stop=["END"], n=1, user="me", extra_headers={"X-Team": "blue"}, **given)
    (request,) = server.requests
    for name, value in given.items():
        assert request.inputs[name] == pytest.approx(value), name
    assert server.metadata[-1]["x-team"] == "blue"


def test_extra_body(litellm, server):
    """Where OpenAI's clients put what OpenAI has not."""
    ask(litellm, "completion", server.url, extra_body={"top_k": 3})
    assert server.requests[0].inputs["top_k"] == 3


def test_a_text_completion(litellm, server):
    response = litellm.text_completion(
        model=MODEL, api_base=server.url, formatter="qwen3", prompt="Hello there"
    )
    assert response.choices[0].text == "You said: Hello there"


def test_a_token_goes_to_the_server(litellm):
    with FakeTriton(["yes"], bearer_tokens={"secret"}) as server:
        assert ask(litellm, "completion", server.url, api_key="secret").choices[0].message.content == "yes"
        with pytest.raises(litellm.AuthenticationError) as caught:
            ask(litellm, "completion", server.url, api_key="wrong")
    assert caught.value.status_code == 401


def test_the_facts_of_the_request(litellm, server):
    facts = ask(litellm, "completion", server.url)._hidden_params
    assert facts["endpoint"] == server.url
    assert facts["attempts"] == 1
    assert facts["time_to_first_token"] > 0


def test_no_usage_is_no_zeros(litellm):
    """LiteLLM's callbacks would add them up."""
    with FakeTriton(["Hello"], models=[text_signature("gpt.streaming", options=["max_tokens"])]) as server:
        response = ask(litellm, "completion", server.url)
    assert response.get("usage") is None


# --- clients


def test_a_client_is_kept_and_the_connection_with_it(litellm, server):
    for way in WAYS:
        ask(litellm, way, server.url)
    assert len(provider._clients) == 1


def test_no_more_clients_are_kept_than_there_is_room_for(litellm, server):
    handler = register("small", NupicProvider(most_clients=2))
    models = [text_signature(f"gpt{number}.streaming") for number in range(4)]
    with FakeTriton(["a", "b"], models=models) as several:
        stream = litellm.completion(
            model="small/gpt0.streaming",
            api_base=several.url,
            formatter="qwen3",
            messages=hello(),
            stream=True,
        )
        first = next(stream)
        for number in (1, 2, 3):
            ask(litellm, "completion", several.url, model=f"small/gpt{number}.streaming")
        assert len(handler._clients) == 2
        rest = [
            chunk.choices[0].delta.content for chunk in stream
        ]  # its client was not closed before its end
        assert [first.choices[0].delta.content, *rest] == ["a", "b", None]
        assert ask(litellm, "completion", several.url, model="small/gpt0.streaming").choices
        handler.close()
        assert len(handler._clients) == 0
        assert ask(litellm, "completion", several.url, model="small/gpt0.streaming").choices
        handler.close()


@pytest.mark.parametrize("most", [0, True, "2"])
def test_the_number_of_clients_is_checked(most):
    with pytest.raises(ValueError, match="most_clients must be an integer >= 1"):
        NupicProvider(most_clients=most)


def test_many_threads_and_loops(litellm, server):
    texts, errors = [], []

    def work(number):
        try:
            way = WAYS[number % 4]
            texts.append(ask(litellm, way, server.url, f"number {number}").choices[0].message.content)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(texts) == sorted(f"You said: number {number}" for number in range(16))
    assert len(provider._clients) == 1


def test_many_at_once_in_a_loop(litellm, server):
    async def run():
        call = {"model": MODEL, "api_base": server.url, "formatter": "qwen3"}
        return await asyncio.gather(
            *(litellm.acompletion(messages=hello(f"number {number}"), **call) for number in range(20))
        )

    responses = asyncio.run(run())
    assert [response.choices[0].message.content for response in responses] == [
        f"You said: number {number}" for number in range(20)
    ]


def test_registering_again_replaces(litellm):
    first, second = NupicProvider(), NupicProvider()
    register("again", first)
    assert register("again", second) is second
    assert [
        item["custom_handler"] for item in litellm.custom_provider_map if item["provider"] == "again"
    ] == [second]


def hello(text="Hello"):
    return [{"role": "user", "content": text}]
