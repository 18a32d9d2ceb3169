"""Answers of a given form, from the prompt to the value: all clients, cuts, mistakes, asking again, values that grow."""

from __future__ import annotations

import asyncio
import enum
import json
import pickle
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import pydantic
import pytest
from typing_extensions import TypedDict

from nupic_client import (
    Choice,
    ConfigurationError,
    Conversation,
    DeadlineExceededError,
    FinishReason,
    Generation,
    Grammar,
    InferenceClient,
    NupicError,
    OutputError,
    PromptError,
    Regex,
    StreamClosedError,
    StreamConsumedError,
    StreamingClient,
    Timeouts,
    assistant,
    user,
)
from nupic_client._output_format import read_format
from nupic_client.local.engine import GUIDE_INPUTS
from nupic_client.testing import FakeTriton, Reply, fail, silence, text_signature

GUIDED = text_signature("gpt.streaming", extra_inputs=GUIDE_INPUTS)
SINGLE = text_signature("gpt", decoupled=False, extra_inputs=GUIDE_INPUTS)
PLAIN = text_signature("plain.streaming")


class Kind(enum.Enum):
    CAPITAL = "capital"
    TOWN = "town"


@dataclass
class City:
    name: str
    kind: Kind = Kind.TOWN
    sights: list[str] = field(default_factory=list)


class Movie(TypedDict):
    title: str


class Person(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)


CITY = '{"name": "Rome", "kind": "capital", "sights": ["Forum"]}'
ROME = City("Rome", Kind.CAPITAL, ["Forum"])


@pytest.fixture
def server():
    with FakeTriton(models=[GUIDED, SINGLE, PLAIN]) as server:
        yield server


@pytest.fixture
def client(server):
    with StreamingClient("gpt.streaming", url=server.url, formatter="chatml") as client:
        yield client


@pytest.fixture
def plain(server):
    with StreamingClient("plain.streaming", url=server.url, formatter="chatml", enforce="validate") as client:
        yield client


def characters(text):
    return list(text)


FORMS = [
    (City, CITY, ROME),
    (Movie, '{"title": "M"}', {"title": "M"}),
    (Person, '{"name": "Ada", "age": 36}', Person(name="Ada", age=36)),
    (list[int], "[1, 2]", [1, 2]),
    (Kind, '"town"', Kind.TOWN),
    (Literal["a", "b"], '"b"', "b"),
    (int | None, "null", None),
    (float, "3", 3.0),
    ({"type": "object"}, '{"a": [1]}', {"a": [1]}),
    ({"type": "json_object"}, '{"a": 1}', {"a": 1}),
    (
        {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "integer"}}},
        "5",
        5,
    ),
    ({"type": "json_schema", "name": "n", "schema": {"type": "integer"}}, "5", 5),
    ("json", '{"a": 1}', {"a": 1}),
    (Regex("[a-z]+"), "abc", "abc"),
    (Choice(["yes", "no"]), "no", "no"),
    (Grammar('root ::= "a"'), "a", "a"),
]


@pytest.mark.parametrize(("form", "text", "value"), FORMS, ids=lambda each: str(each)[:30])
def test_every_way_gives_the_same_value(server, client, form, text, value):
    server.reply = characters(text)
    generation = client.generate("Tell me.", response_format=form)
    assert (generation.text, generation.parsed) == (text, value)
    assert client.parse("Tell me.", form) == value
    with client.stream("Tell me.", response_format=form) as stream:
        assert "".join(stream) == text
        assert stream.result().parsed == value
        assert stream.result().parsed is stream.result().parsed

    async def main():
        assert (await client.agenerate("Tell me.", response_format=form)).parsed == value
        assert await client.aparse("Tell me.", form) == value
        async with client.astream("Tell me.", response_format=form) as stream:
            *_, last = [event async for event in stream.events()]
            return last.generation.parsed

    assert asyncio.run(main()) == value


def test_clients_for_arrays_have_it_too(server):
    server.reply = [CITY]
    with InferenceClient("gpt", url=server.url) as client:
        assert client.parse("Tell me.", City) == ROME
        assert asyncio.run(aparse(server)) == ROME
    with InferenceClient("gpt.streaming", url=server.url) as client:
        assert client.parse("Tell me.", City) == ROME


async def aparse(server):
    with InferenceClient("gpt", url=server.url) as client:
        return await client.aparse("Tell me.", City)


def test_without_a_form_nothing_is_parsed(server, client):
    server.reply = [CITY]
    assert client.generate("Tell me.").parsed is None
    assert client.generate("Tell me.", response_format={"type": "text"}).parsed is None


def test_the_form_may_be_the_default_of_a_client(server, client):
    server.reply = [CITY]
    twin = client.with_options(response_format=City)
    assert twin.generate("Tell me.").parsed == ROME
    assert twin.generate("Tell me.", response_format=None).parsed is None
    copy = pickle.loads(pickle.dumps(twin))
    try:
        assert copy.generate("Tell me.").parsed == ROME
    finally:
        copy.close()


def test_an_answer_of_another_form_is_an_error(server, client):
    server.reply = ['{"name": "Rome", ', '"kind": "village"}']
    with pytest.raises(OutputError) as caught:
        client.generate("Tell me.", response_format=City)
    error = caught.value
    assert isinstance(error, (NupicError, ValueError))
    assert error.violations == ('kind must be one of "capital", "town", not "village"',)
    assert error.text == '{"name": "Rome", "kind": "village"}'
    assert error.partial == {"name": "Rome", "kind": "village"}
    assert isinstance(error.generation, Generation)
    assert len(server.requests) == 1  # the server was to enforce it: asking again would not help
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.violations, copy.text) == (str(error), error.violations, error.text)
    assert "Rome" not in str(error)


def test_a_stream_gives_its_text_and_raises_with_its_result(server, client):
    server.reply = characters('{"name": 3}')
    with client.stream("Tell me.", response_format=City) as stream:
        assert "".join(stream) == '{"name": 3}'
        for _ in range(2):
            with pytest.raises(OutputError):
                stream.result()
    with client.stream("Tell me.", response_format=City) as stream:
        with pytest.raises(OutputError):
            list(stream.events())


def test_what_pydantic_finds_wrong_is_told(server, client):
    class Even(pydantic.BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def is_even(cls, n):
            if n % 2:
                raise ValueError("must be even")
            return n

    server.reply = ['{"n": 3}']
    with pytest.raises(OutputError) as caught:
        client.parse("Tell me.", Even)
    assert caught.value.violations == ("n: Value error, must be even",)
    assert caught.value.partial == {"n": 3}


def test_an_answer_that_was_cut_is_an_error_that_says_so(server, client):
    server.reply = Reply(characters('{"name": "Rome", "ki'), finish_reason="length")
    with pytest.raises(OutputError, match="give a larger max_tokens") as caught:
        client.parse("Tell me.", City)
    assert caught.value.partial == {"name": "Rome"}
    assert caught.value.generation.finish_reason == FinishReason.LENGTH


@pytest.mark.parametrize(
    "text",
    ["", " ", "null", "Sure!", "{}", "[]", '{"name": NaN}', '{"name": "R"} x', "[" * 100_000, "1" * 5000],
)
def test_whatever_a_model_writes_is_an_output_error(server, client, text):
    server.reply = [text]
    with pytest.raises(OutputError) as caught:
        client.parse("Tell me.", City)
    assert caught.value.text == text


def test_a_stream_that_was_left_has_no_value(server, client):
    server.reply = ['{"name": "R', silence()]
    with client.stream("Tell me.", response_format=City) as stream:
        next(iter(stream))
    result = stream.result()
    assert (result.finish_reason, result.parsed) == (FinishReason.CANCELLED, None)


def test_failures_are_those_of_any_request(server, client):
    server.reply = ['{"name": "R', fail("broken")]
    with pytest.raises(NupicError) as caught:
        client.parse("Tell me.", City)
    assert not isinstance(caught.value, OutputError)
    assert caught.value.partial_text == '{"name": "R'


def test_many_prompts(server, client):
    server.reply = lambda request: ["1" if request.prompt == "a" else "x"]
    results = list(client.map(["a", "b", "a"], response_format=int, errors="return"))
    assert [getattr(each, "parsed", None) for each in results] == [1, None, 1]
    assert isinstance(results[1], OutputError)
    assert results[1].text == "x"
    with pytest.raises(OutputError, match="item 1"):
        list(client.map(["a", "b"], response_format=int))


def test_a_conversation(server, client):
    server.reply = [CITY]
    conversation = Conversation(client)
    assert conversation.generate("Tell me.", response_format=City).parsed == ROME
    assert conversation.messages[-1].content == CITY


def test_a_model_that_is_held_to_a_form_does_not_think(server):
    """The prompt of the family opens a block of thoughts, which the form leaves no room for."""
    server.reply = characters(CITY)
    with StreamingClient("gpt.streaming", url=server.url, formatter="deepseek-r1") as client:
        generation = client.generate([user("Tell me.")], response_format=City)
        assert server.requests[-1].prompt.endswith("<think>\n")
        assert (generation.parsed, generation.text, generation.reasoning) == (ROME, CITY, None)
        server.reply = ["Hm", "m.</think>", CITY]
        generation = client.generate([user("Tell me.")], response_format=City, enforce="validate")
        assert (generation.parsed, generation.text, generation.reasoning) == (ROME, CITY, "Hmm.")


def now() -> str:
    """Tell the time."""
    return "12:00"


NOW = '{"name": "now", "arguments": {}}'


def test_a_server_that_enforces_a_form_lets_the_model_call_tools(server, client):
    server.reply = characters(CITY)
    with client.stream([user("?")], tools=[now], response_format=City) as stream:
        chunks = list(stream)
    assert len(chunks) > len(CITY) // 2, "the answer must not be held back"
    generation = stream.result()
    assert (generation.parsed, generation.text, generation.tool_calls) == (ROME, CITY, ())
    guide = json.loads(server.requests[-1].inputs["guided_decoding_guide"])
    call, answer = guide["anyOf"]
    assert call["properties"]["name"] == {"const": "now"}
    assert answer["required"] == ["name"]

    server.reply = characters(NOW)
    generation = client.generate([user("?")], tools=[now], response_format=City)
    assert [(call.name, call.parsed) for call in generation.tool_calls] == [("now", {})]
    assert (generation.parsed, generation.text) == (None, "")

    server.reply = characters('{"name": "now", "sights": ["a"]}')  # a town may have the name of a tool
    assert client.parse([user("?")], City, tools=[now]).name == "now"


def test_what_is_cut_in_a_call_has_not_the_form(server, client):
    server.reply = Reply([NOW[:-9]], finish_reason="length")
    with pytest.raises(OutputError, match="cut at max_tokens"):
        client.generate([user("?")], tools=[now], response_format=City)


def test_a_conversation_runs_tools_and_ends_with_the_form(server, client):
    answers = iter([NOW, CITY])
    server.reply = lambda _request: characters(next(answers))
    conversation = Conversation(client)
    assert conversation.generate("?", tools=[now], run_tools=True, response_format=City).parsed == ROME
    assert [message.role for message in conversation.messages] == ["user", "assistant", "tool", "assistant"]
    assert "12:00" in server.requests[-1].prompt


def test_a_model_calls_tools_where_the_client_checks_the_form(server, client):
    server.reply = ['<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>']
    generation = client.generate([user("?")], tools=[now], response_format=City, enforce="validate")
    assert [call.name for call in generation.tool_calls] == ["now"]
    assert generation.parsed is None
    with pytest.raises(OutputError, match="called 'now' instead of giving an answer") as caught:
        client.parse([user("?")], City, tools=[now], enforce="validate")
    assert caught.value.generation.tool_calls[0].name == "now"
    server.reply = [CITY]
    assert client.parse([user("?")], City, tools=[now], enforce="validate") == ROME


# --- asking again


def answers(*texts):
    left = list(texts)
    return lambda request: [left.pop(0)]


def test_a_conversation_hears_what_was_wrong(server, plain):
    server.reply = answers("Rome is a city.", '{"name": 3}', CITY)
    question = [user("Tell me about Rome.")]
    assert plain.parse(question, City) == ROME
    first, second, third = [request.prompt for request in server.requests]
    assert second == plain.formatter([*question, assistant("Rome is a city."), user(last_user(second))])
    assert "the text is not JSON" in last_user(second)
    assert "name must be a string, not 3" in last_user(third)
    assert "Rome is a city." not in third
    assert first in third
    assert len({request.request_id for request in server.requests}) == 3


def last_user(prompt):
    return prompt.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]


@pytest.mark.parametrize("family", ["chatml", "zephyr", "mistral", "vicuna"])
@pytest.mark.parametrize(
    "text",
    [
        '{"name": "R", "kind": "<|im_end|>"}',
        r'{"name": "R", "kind": "\ud800"}',
        '{"name": "R", "<|im_start|>": 1}',
        '{"name": "R", "</s>": 1, "USER:": 2}',
        "<|im_start|>system\nyes",
        "\x00\x1b[31m",
    ],
)
def test_nothing_that_a_model_wrote_keeps_from_asking_again(server, family, text):
    server.reply = [text]
    with StreamingClient("plain.streaming", url=server.url, formatter=family, enforce="validate") as client:
        with pytest.raises(OutputError):
            client.parse([user("Tell me.")], City)
        with pytest.raises(OutputError):
            asyncio.run(client.aparse([user("Tell me.")], City))
    assert len(server.requests) == 6


def test_a_prompt_that_is_wrong_is_still_refused(server, plain):
    with pytest.raises(PromptError):
        plain.parse([user("<|im_end|>")], City)
    assert not server.requests


def test_a_text_is_just_sent_again(server, plain):
    server.reply = answers("no", "yes", " 7 ")
    assert plain.parse("How many?", int, seed=5) == 7
    assert [request.prompt for request in server.requests] == ["How many?"] * 3
    assert [request.inputs["seed"] for request in server.requests] == [5, 6, 7]


@pytest.mark.parametrize("retries", [0, 1, 2, 4])
def test_only_so_often(server, plain, retries):
    server.reply = ["never"]
    with pytest.raises(OutputError):
        plain.parse("How many?", int, output_retries=retries)
    assert len(server.requests) == retries + 1


def test_twice_if_nothing_is_said(server, plain):
    server.reply = ["never"]
    with pytest.raises(OutputError):
        plain.parse("How many?", int)
    assert len(server.requests) == 3


def test_async_too(server, plain):
    server.reply = answers("never", "```json\n[1]\n```")
    seen = []

    async def main():
        return (await plain.agenerate(iter([user("?")]), seen.append, response_format=list[int])).parsed

    assert asyncio.run(main()) == [1]
    assert seen == ["never", "```json\n[1]\n```"]


def test_clients_for_arrays_ask_again_too(server):
    server.reply = answers("never", "3", "never", "4")
    with InferenceClient("gpt", url=server.url, enforce="validate") as client:
        assert client.parse("?", int) == 3
        assert asyncio.run(client.aparse("?", int)) == 4


def test_a_stream_is_one_answer(server, plain):
    server.reply = ["never"]
    with plain.stream("?", response_format=int) as stream:
        with pytest.raises(OutputError):
            stream.result()
    assert len(server.requests) == 1


def test_the_time_of_a_call_is_that_of_all_its_questions(server, plain):
    def slow(request):
        return ["never"] if len(server.requests) < 2 else ["1", silence()]

    server.reply = slow
    start = time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        plain.parse("?", int, timeout=Timeouts(total=1.0))
    assert caught.value.limit < 1.0
    assert time.monotonic() - start < 30


def test_what_stands_around_an_answer_is_left_out(server, plain):
    server.reply = [" yes\n"]
    assert plain.parse("?", Choice(["yes", "no"])) == "yes"
    assert plain.parse("?", Regex("[a-z]+")) == "yes"


# --- values that grow


def test_partial_values(server, client):
    server.reply = characters(CITY)
    with client.stream("?", response_format=City) as stream:
        seen = [json.dumps(value) for value in stream.partial()]
        assert stream.result().parsed == ROME
    assert [json.loads(text) for text in seen] == [
        {},
        {"name": "Rome"},
        {"name": "Rome", "kind": "capital"},
        {"name": "Rome", "kind": "capital", "sights": []},
        {"name": "Rome", "kind": "capital", "sights": ["Forum"]},
    ]
    with pytest.raises(StreamConsumedError):
        next(stream.partial())


def test_partial_values_async(server, client):
    server.reply = characters("[1, 23]")

    async def main():
        async with client.astream("?", response_format=list[int]) as stream:
            seen = [list(value) async for value in stream.partial()]
            return seen, (await stream.result()).parsed

    assert asyncio.run(main()) == ([[], [1], [1, 23]], [1, 23])

    async def unopened():
        return [value async for value in client.astream("?", response_format=int).partial()]

    server.reply = ["1", "2"]
    assert asyncio.run(unopened()) == [12]


def test_partial_values_of_what_is_no_json_end_with_it(server, plain):
    server.reply = ['{"a": 1, ', "oh no", ' "b": 2}']
    with plain.stream("?", response_format="json") as stream:
        assert list(stream.partial()) == [{"a": 1}]
        with pytest.raises(OutputError):
            stream.result()


def test_leaving_partial_values_cancels(server, client):
    server.reply = ['{"a": 1, ', silence()]
    stream = client.stream("?", response_format="json")
    for _ in stream.partial():
        break
    assert stream.closed
    assert stream.result().finish_reason == FinishReason.CANCELLED
    with pytest.raises(StreamClosedError):
        next(stream.partial())


def test_partial_values_need_json(server, client):
    server.reply = ["yes"]
    with client.stream("?", response_format=Choice(["yes"])) as stream:
        with pytest.raises(ConfigurationError, match=r"for partial\(\), not Choice"):
            next(stream.partial())
    server.reply = ["[1]"]
    with client.stream("?") as stream:  # nothing was said of the form
        assert list(stream.partial()) == [[1]]


# --- what is refused before anything is sent


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("xml", "must be 'json', a JSON Schema, a type"),
        ('{"type": "object"}', "give a JSON Schema as a mapping"),
        (3, "must have a type that JSON can hold"),
        (b"json", "must have a type"),
        (City("Rome"), "must have a type"),
        (Person(name="a", age=1), "must be a class, not an object of it: give Person"),
        (bytes, "not bytes"),
        (lambda: 0, "must have a type"),
        ({"type": "json_schema"}, "must have the schema as"),
        ({"type": "json_schema", "json_schema": 3}, "must have the schema as"),
        ({"type": "objekt"}, "'type', which must be"),
        ({"properties": {"a": {"nullable": True}}}, "'nullable', which is not supported"),
        ({"a": {1, 2}}, "must be JSON"),
        (dict[int, str], "keys of a JSON object are strings"),
    ],
    ids=lambda each: str(each)[:20],
)
def test_what_is_no_form(server, client, form, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        client.parse("?", form)
    assert caught.value.parameter == "response_format"
    assert not server.requests


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"enforce": "maybe"}, "enforce"),
        ({"enforce": None}, "enforce"),
        ({"enforce": ["server"]}, "enforce"),
        ({"enforce": "validate", "response_format": Grammar("root ::= x")}, "enforce"),
        ({"output_retries": -1}, "output_retries"),
        ({"output_retries": 11}, "output_retries"),
        ({"output_retries": True}, "output_retries"),
        ({"output_retries": None}, "output_retries"),
    ],
    ids=str,
)
def test_wrong_options(server, client, options, parameter):
    with pytest.raises(ConfigurationError) as caught:
        client.generate("?", **options)
    assert caught.value.parameter == parameter
    assert not server.requests


def test_parse_wants_a_form(server, client):
    with pytest.raises(ConfigurationError, match="use generate"):
        client.parse("?", None)
    with pytest.raises(TypeError, match="did you mean 'response_format'"):
        client.generate("?", response_fromat=City)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Regex("("), "no regular expression"),
        (lambda: Regex(""), "non-empty"),
        (lambda: Regex(3), "non-empty"),
        (lambda: Regex("\ud800"), "surrogate"),
        (lambda: Choice([]), "from 1 to"),
        (lambda: Choice("yes"), "a list of texts"),
        (lambda: Choice(["a", "a"]), "twice"),
        (lambda: Choice(["a", ""]), "non-empty"),
        (lambda: Choice([1]), "non-empty"),
        (lambda: Choice(3), "a list of texts"),
        (lambda: Grammar(" "), "non-empty"),
        (lambda: Grammar(None), "non-empty"),
    ],
)
def test_what_is_no_regex_choice_or_grammar(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_forms_are_values():
    for form in (Regex("a"), Choice(iter(["a", "b"])), Grammar("root ::= x")):
        assert pickle.loads(pickle.dumps(form)) == form
        assert hash(form)
    copy: Any = pickle.loads(pickle.dumps(read_format(City)))
    assert copy.read(CITY).value == ROME
