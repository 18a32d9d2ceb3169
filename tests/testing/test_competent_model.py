"""The scripted model that calls tools, reads results and keeps to a given form."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

import pytest

from nupic_client import (
    Choice,
    ConfigurationError,
    Conversation,
    Grammar,
    Regex,
    StreamingClient,
    Tool,
    assistant,
    user,
)
from nupic_client.backends import ModelSignature, TensorSpec
from nupic_client.prompts import FAMILIES
from nupic_client.prompts.formatter import PromptFormatter
from nupic_client.testing import FakeTriton, competent_model, text_signature
from nupic_client.testing.instances import instance, literal_of_grammar, text_for_pattern

WITH_TOOLS = [name for name, each in FAMILIES.items() if each.answer and each.answer.has_tool_calls]
ASK = "How is the weather in Paris for 3 days?"
VLLM = ModelSignature(
    "gpt.streaming",
    inputs={
        "text_input": TensorSpec("text_input", "BYTES"),
        "sampling_parameters": TensorSpec("sampling_parameters", "BYTES", optional=True),
        "stream": TensorSpec("stream", "BOOL", optional=True),
    },
    outputs={"text_output": TensorSpec("text_output", "BYTES")},
    decoupled=True,
    backend="vllm",
)
GUIDED = text_signature("gpt.streaming", guided=True)


def weather(city: str, days: int = 1) -> str:
    """Tell the weather.

    Args:
        city: the city
        days: how many days
    """
    return f"{city}: sunny for {days} days"


def time_of_day(zone: str) -> str:
    """Say how late it is."""
    return f"It is noon in {zone}"


TOOLS = [weather, time_of_day]


@pytest.fixture
def connect():
    """Make a client of a competent model."""
    opened = []

    def make(formatter="qwen2.5", *, signature=None, **options):
        server = FakeTriton(competent_model(formatter, **options), models=[signature] if signature else None)
        server.start()
        client = StreamingClient("gpt.streaming", url=server.url, formatter=formatter)
        opened.append((client, server))
        return client

    yield make
    for client, server in opened:
        client.close()
        server.stop()


@pytest.mark.parametrize("family", WITH_TOOLS)
class TestTools:
    def test_a_tool_of_which_the_user_speaks_is_called(self, family, connect):
        generation = connect(family).generate([user(ASK)], tools=TOOLS)
        assert [call.name for call in generation.tool_calls] == ["weather"]
        assert generation.tool_calls[0].parsed == {"city": "Paris", "days": 3}
        assert (generation.text, generation.invalid_tool_calls) == ("", ())

    def test_a_conversation_ends_with_the_result(self, family, connect):
        conversation = Conversation(connect(family), system="You help.")
        assert conversation.generate(ASK, tools=TOOLS, run_tools=True).text == "Paris: sunny for 3 days"
        assert [message.role for message in conversation.messages] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]
        # The history has results, but not of this message.
        again = conversation.generate("What is the time of day in Oslo?", tools=TOOLS, run_tools=True)
        assert again.text == "It is noon in Oslo"
        # Some families put the system message before what the user says.
        thanks = conversation.generate("Thanks!", tools=TOOLS, run_tools=True).text
        assert re.fullmatch(r"You said: (You help\.\n\n)?Thanks!", thanks)

    def test_nothing_is_called_that_is_not_offered(self, family, connect):
        client = connect(family)
        for options in ({}, {"tools": TOOLS, "tool_choice": "none"}, {"tools": [time_of_day]}):
            generation = client.generate([user(ASK)], **options)
            assert (generation.text, generation.tool_calls) == (f"You said: {ASK}", ())


def test_a_second_tool_that_the_user_named_is_called_after_the_first(connect):
    conversation = Conversation(connect())
    answer = conversation.generate("First weather, then time_of_day, in Rome", tools=TOOLS, run_tools=True)
    names = [call.name for message in conversation.messages for call in message.tool_calls]
    assert sorted(names) == ["time_of_day", "weather"]
    assert "Rome: sunny" in answer.text
    assert "It is noon in Rome" in answer.text


@pytest.mark.parametrize("signature", [GUIDED, VLLM], ids=["inputs", "vllm"])
class TestForms:
    def test_a_call_that_is_forced(self, signature, connect):
        client = connect("qwen3", signature=signature)
        for choice in ("weather", "required"):
            generation = client.generate([user("Hi, in Oslo")], tools=TOOLS, tool_choice=choice)
            (call,) = generation.tool_calls
            assert (call.name, call.parsed) == ("weather", {"city": "Oslo"})
        generation = client.generate([user("How late, time of day?")], tools=TOOLS, tool_choice="required")
        assert generation.tool_calls[0].name == "time_of_day"

    def test_a_form_beside_tools(self, signature, connect):
        client = connect("qwen3", signature=signature)
        generation = client.generate(
            [user("The weather in Oslo?")], tools=TOOLS, response_format=dict[str, int]
        )
        assert [call.name for call in generation.tool_calls] == ["weather"]
        assert client.generate([user("Hi")], tools=TOOLS, response_format=dict[str, int]).parsed == {}

    def test_a_number_is_no_object(self, signature, connect):
        client = connect("qwen3", signature=signature)
        assert client.parse([user("What is 7?")], int) == 7
        assert client.parse([user("What is it?")], str) is not None

    def test_values_of_types(self, signature, connect):
        @dataclass
        class City:
            name: str
            inhabitants: int
            kind: Literal["town", "capital"]

        client = connect(signature=signature)
        asked = [user("Describe Rome, a capital with 2873000 inhabitants.")]
        assert client.parse(asked, City) == City("Rome", 2873000, "capital")
        assert client.parse([user("Is it so? Say no or yes.")], Choice(["maybe", "yes"])) == "yes"
        assert client.parse([user("?")], Choice(["a+b", "c"])) == "a+b"
        assert client.parse([user("A code?")], Regex("[A-Z]{3}-[0-9]+")) == "AAA-0"
        assert client.parse([user("An object?")], "json") == {}
        named = client.parse([user("JSON with 'setup' and `punchline`, don't say more")], "json")
        assert list(named) == ["setup", "punchline"]
        assert client.generate([user("?")], response_format=Grammar('root ::= "yes" | "no"')).text == "yes"


class TestReasoning:
    def test_each_answer_begins_with_a_thought(self, connect):
        conversation = Conversation(connect("qwen3", reasoning=True))
        generation = conversation.generate(ASK, tools=TOOLS, run_tools=True)
        assert (generation.text, generation.reasoning) == ("Paris: sunny for 3 days", "I have the results.")

    @pytest.mark.parametrize(
        "family", [name for name, each in FAMILIES.items() if each.answer and each.answer.has_reasoning]
    )
    def test_in_the_marks_of_every_family(self, family, connect):
        generation = connect(family, reasoning=True).generate([user("Hi")], reasoning="separate")
        assert (generation.text, generation.reasoning) == ("You said: Hi", "I look at what the user wants.")

    def test_not_where_the_prompt_says_so(self, connect):
        generation = connect("qwen3", reasoning=True).generate(
            [user("Hi")], template_variables={"enable_thinking": False}
        )
        assert (generation.text, generation.reasoning) == ("You said: Hi", None)

    def test_the_prompt_may_have_begun_it(self, connect):
        generation = connect("deepseek-r1", reasoning=True).generate([user("Hi")])
        assert generation.text == "You said: Hi"
        assert generation.reasoning == "I look at what the user wants."

    def test_a_family_without_reasoning(self):
        with pytest.raises(ConfigurationError, match="reasoning must be False for llama") as caught:
            competent_model("llama-3.1-instruct", reasoning=True)
        assert caught.value.parameter == "reasoning"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gets_an_answer(family, connect):
    answer = connect(family).generate([user("Hi there")]).text
    assert "Hi there" in answer
    assert answer.startswith("You said: ")


def test_a_prompt_without_turns(connect):
    assert connect().generate("Once upon a time").text == "You said: Once upon a time"


def test_of_several_turns_the_last_one_counts(connect):
    talk = [user("weather in Rome"), assistant("Hot."), user("Fine."), user("Bye.")]
    assert connect("qwen3").generate(talk, tools=TOOLS).text == "You said: Bye."


def test_a_template_of_ones_own():
    template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    formatter = PromptFormatter.from_jinja(template)
    with (
        FakeTriton(competent_model(formatter)) as server,
        StreamingClient("gpt.streaming", url=server.url, formatter=formatter) as client,
    ):
        assert client.generate([user("One"), assistant("Two"), user("Three")]).text == "You said: Three"


def test_a_schema_in_the_message(connect):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = [user(f"Answer with JSON of this schema: {json.dumps(schema)}")]
    assert connect().parse(asked, schema, enforce="validate", output_retries=0) == {"n": 0}


def test_the_answer_comes_in_pieces(connect):
    with connect().stream([user("One two three")]) as stream:
        assert list(stream) == ["You", " said:", " One", " two", " three"]


@pytest.mark.parametrize("formatter", [3, None])
def test_what_is_no_family(formatter):
    with pytest.raises(ConfigurationError, match="formatter must be"):
        competent_model(formatter)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string", "format": "date"}, "on 2026-05-04.", "2026-05-04"),
        ({"type": "string", "format": "date"}, "tomorrow", "2026-01-31"),
        ({"type": "string", "minLength": 5, "maxLength": 6}, "Hi", "Hixxx"),
        ({"type": "string"}, 'Look up "green tea" for me', "green tea"),
        ({"type": "string", "pattern": "^[a-f]+$"}, "take abc now", "abc"),
        ({"type": "integer", "minimum": 5}, "", 5),
        ({"type": "integer", "maximum": 5, "multipleOf": 2}, "take 9", 4),
        ({"type": "number", "exclusiveMinimum": 0}, "", 0.5),
        ({"type": ["null", "integer"]}, "", 0),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, "", False),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, "7 and 8", [7, 8]),
        ({"prefixItems": [{"type": "integer"}, {"const": "a"}]}, "", [0, "a"]),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, "", 1),
        (
            {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"const": 1}}}]},
            "",
            {"a": 1},
        ),
        (
            {
                "properties": {"to": {"type": "string"}, "from": {"type": "string"}},
                "required": ["to", "from"],
            },
            "a train to Rome from Oslo",
            {"to": "Rome", "from": "Oslo"},
        ),
        (True, "", ""),
    ],
)
def test_values_that_fit_a_schema(schema, text, value):
    assert instance(schema, text) == value


def test_a_schema_without_end_has_a_value():
    schema = {"properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert "next" in instance(schema)


@pytest.mark.parametrize(
    "pattern", ["", "abc?", "(yes|no)", r"\d{4}-\w+\s.", "[^a]b", "x*?y+", "^[0-9]{2,}$", r"(?:a|b){2}"]
)
def test_texts_of_patterns(pattern):
    assert re.fullmatch(pattern, text_for_pattern(pattern))


def test_patterns_that_are_not_simple_have_no_text():
    assert text_for_pattern(r"(?=a)b") == text_for_pattern("(") == ""


def test_grammars():
    assert literal_of_grammar('root ::= x\nx ::= "a"') == ""
    assert literal_of_grammar('root ::= "a \\"b\\"" x') == 'a "b"'


def test_a_tool_of_a_mapping_without_parameters(connect):
    generation = connect().generate([user("ring the bell")], tools=[Tool("ring_bell")])
    assert [(call.name, call.parsed) for call in generation.tool_calls] == [("ring_bell", {})]
