from __future__ import annotations

import contextlib
import json
import pickle
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import ImagePart, StreamingClient, ToolCall
from nupic_client import TextPart as Text
from nupic_client.errors import ConfigurationError
from nupic_client.messages import Message, assistant, read_messages, system, to_messages, user


@pytest.mark.parametrize(("make", "role"), [(system, "system"), (user, "user"), (assistant, "assistant")])
def test_each_role_has_a_function(make, role):
    assert make("Hi") == Message(role, "Hi")


def test_a_message_is_immutable_and_hashable():
    with pytest.raises(AttributeError):
        user("Hi").content = "Ho"
    assert len({user("Hi"), user("Hi")}) == 1


def test_a_message_can_be_pickled():
    assert pickle.loads(pickle.dumps(user("Hi"))) == user("Hi")


def test_a_content_may_be_empty():
    assert user("").content == ""


@pytest.mark.parametrize("role", ["", None, 5])
def test_a_role_must_be_a_non_empty_string(role):
    with pytest.raises(ConfigurationError, match="role must be a non-empty string"):
        Message(role, "Hi")


@pytest.mark.parametrize(
    ("content", "kind"), [(None, "NoneType"), (5, "int"), (b"Hi", "bytes"), ({"Hi"}, "set")]
)
def test_a_content_must_be_a_string(content, kind):
    with pytest.raises(ConfigurationError, match=f"'user' message must be a string, not {kind}"):
        Message("user", content)


def test_messages_and_mappings_may_be_mixed():
    assert to_messages([system("Be brief."), {"content": "Hi", "role": "user"}]) == (
        system("Be brief."),
        user("Hi"),
    )


def test_any_iterable_of_messages_will_do():
    assert to_messages(message for message in [user("Hi")]) == (user("Hi"),)


@pytest.mark.parametrize("given", ["Hi", b"Hi", user("Hi"), {"role": "user", "content": "Hi"}, 5, None])
def test_what_is_no_list_of_messages_is_an_error(given):
    with pytest.raises(ConfigurationError, match=f"must be a list of messages, not {type(given).__name__}"):
        to_messages(given)


def test_a_conversation_has_at_least_one_message():
    with pytest.raises(ConfigurationError, match="at least one message"):
        to_messages([])


@pytest.mark.parametrize("item", ["Hi", 5, None, ("user", "Hi")])
def test_an_item_that_is_no_message_is_an_error_with_its_place(item):
    with pytest.raises(ConfigurationError, match="message 1 must be a Message or a mapping"):
        to_messages([user("Hi"), item])


@pytest.mark.parametrize(
    "item",
    [{}, {"role": "user"}, {"role": "user", "name": "Ann"}, {1: 2}, {"role": "user", "content": "", 1: 2}],
)
def test_a_mapping_with_other_keys_is_an_error_with_its_place(item):
    with pytest.raises(ConfigurationError, match="message 0 must have the keys 'role' and 'content'"):
        to_messages([item])


def test_the_values_of_a_mapping_are_checked():
    with pytest.raises(ConfigurationError, match="must be a string, not NoneType"):
        to_messages([{"role": "assistant", "content": None}])


# U-B3: messages as the world writes them.


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


@dataclass
class Output:
    """As huggingface_hub's ChatCompletionOutputMessage."""

    role: str
    content: Any = None
    reasoning: Any = None
    tool_call_id: Any = None
    tool_calls: Any = None


class Model:
    """As OpenAI's ChatCompletionMessage: pydantic's way to list the fields."""

    def __init__(self, **fields):
        self._private = 1
        self.__dict__.update(fields)

    def model_dump(self):
        return {name: value for name, value in self.__dict__.items() if name != "_private"}


class Role(str, Enum):
    USER = "user"


class TextPart:
    type, text = "text", "Hi"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"role": "user", "metadata": None, "content": parts("Hi"), "options": None}, user("Hi")),  # Gradio
        ({"role": "user", "metadata": {}, "content": "Hi", "options": []}, user("Hi")),
        ({"role": "assistant", "content": "Hi", "options": [{"value": "Yes"}], "id": "m1"}, assistant("Hi")),
        ({"role": "user", "content": parts("Hi", " there")}, user("Hi there")),
        ({"role": "user", "content": ["Hi", {"type": "text", "text": " there"}]}, user("Hi there")),
        ({"role": "user", "content": [{"text": "Hi", "type": "input_text"}]}, user("Hi")),
        ({"role": "user", "content": [{"text": "Hi"}, TextPart()]}, user("HiHi")),
        ({"role": "user", "content": []}, user("")),
        ({"role": "developer", "content": "Be brief."}, system("Be brief.")),
        (Message("developer", "Be brief."), system("Be brief.")),
        ({"role": Role.USER, "content": "Hi"}, user("Hi")),
        (
            {"role": "user", "content": "Hi", "name": None, "tool_calls": None, "function_call": None},
            user("Hi"),
        ),
        (Output("assistant", "Hi"), assistant("Hi")),
        (Output("assistant", parts("Hi"), tool_calls=[]), assistant("Hi")),
        (
            Model(role="assistant", content="Hi", refusal=None, annotations=[], audio=None, tool_calls=None),
            assistant("Hi"),
        ),
        (
            {
                "role": "assistant",
                "content": "Hi",
                "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "x"}],
                "provider_specific_fields": {"citations": [1]},
                "cache_control": {"type": "ephemeral"},
            },
            assistant("Hi"),
        ),
        (SimpleNamespace(role="user", content="Hi"), user("Hi")),
        (MappingProxyType({"role": "user", "content": "Hi"}), user("Hi")),
    ],
)
def test_messages_of_other_libraries_are_read(item, message):
    read = to_messages([item])
    assert read == (message,)
    assert type(read[0].role) is str


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            "must be a url or a data URI",
        ),
        (
            {"role": "user", "content": [*parts("x"), {"type": "input_audio"}]},
            "has a part of type 'input_audio'",
        ),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "has a part of type 'text'"),
        ({"role": "user", "content": [5]}, "has a part that is int"),
        ({"role": "user", "content": [{"path": "a.png"}]}, "has a part that is dict"),
        (
            {"role": "user", "content": ("a.png",)},
            "content that must be a string or a list of parts, not tuple",
        ),
        ({"role": "assistant", "content": None, "tool_calls": [{}]}, "has a tool call 0 without the name"),
        (Output("assistant", tool_calls=[1]), "has a tool call 0 without the name"),
        (
            {"role": "user", "content": "Hi", "metadata": {"title": "x"}},
            "not ['content', 'metadata', 'role']",
        ),
        (Model(role="assistant", content="", refusal="no"), "not ['content', 'refusal', 'role']"),
        ({"role": None, "content": "Hi"}, "role must be a non-empty string"),
        (Output("assistant"), "must be a string, not NoneType"),
        (SimpleNamespace(role="user"), "must be a Message or a mapping"),
    ],
)
def test_what_a_prompt_cannot_hold_is_refused_by_name_and_place(item, words):
    with pytest.raises(ConfigurationError) as caught:
        to_messages([user("fine"), item])
    assert caught.value.message.startswith("message 1")
    assert words in caught.value.message


@pytest.mark.parametrize("given", [user("Hi"), {"role": "user", "content": "Hi"}, Output("user", "Hi")])
def test_a_single_message_belongs_into_a_list(given):
    """U-A8."""
    with pytest.raises(ConfigurationError, match="put it into a list"):
        to_messages(given)
    with (
        StreamingClient("smollm2", url="127.0.0.1:1") as client,
        pytest.raises(
            ConfigurationError,
            match=r"prompt must be a str or a list of messages, not .*: put it into a list",
        ),
    ):
        client.generate(given)


@pytest.mark.parametrize("given", [b"Hi", 5, None, 1.5, object()])
def test_a_prompt_of_another_type(given):
    """U-A8."""
    name = type(given).__name__
    with StreamingClient("smollm2", url="127.0.0.1:1") as client:
        with pytest.raises(
            ConfigurationError, match=f"^prompt must be a str or a list of messages, not {name}$"
        ):
            client.generate(given)
        with pytest.raises(ConfigurationError, match=f"not {name}$"):
            client.formatter(given)


# Calls of tools, results, reasoning, images


WEATHER = ToolCall("c1", "weather", '{"city": "Paris"}')


def call_dict(arguments, **more):
    return {**more, "type": "function", "function": {"name": "weather", "arguments": arguments}}


class Completion(pydantic.BaseModel):
    """As OpenAI's ChatCompletionMessage."""

    class Call(pydantic.BaseModel):
        class Function(pydantic.BaseModel):
            arguments: str
            name: str

        id: str
        function: Function
        type: str = "function"
        index: int | None = None

    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None


@dataclass
class Function:
    """As huggingface_hub's."""

    arguments: Any
    name: str
    description: Any = None


@dataclass
class Call:
    function: Function
    id: str
    type: str


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"role": "assistant", "content": None, "tool_calls": [call_dict('{"city": "Paris"}', id="c1")]},
            Message("assistant", "", (WEATHER,)),
        ),
        (
            {"role": "assistant", "tool_calls": [call_dict({"city": "Paris"}, id="c1", index=0)]},
            Message("assistant", "", (WEATHER,)),
        ),
        (
            {"role": "assistant", "content": "Wait.", "tool_calls": [{"name": "weather", "arguments": None}]},
            Message("assistant", "Wait.", (ToolCall("", "weather", "{}"),)),
        ),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"name": "weather", "args": {"city": "Paris"}, "id": "c1", "type": "tool_call"}
                ],
            },  # LangChain's
            Message("assistant", "", (WEATHER,)),
        ),
        (
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{"}},
            Message("assistant", "", (ToolCall("", "weather", "{"),)),
        ),
        (
            Completion(
                tool_calls=[{"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}]
            ),
            Message("assistant", "", (WEATHER,)),
        ),
        (
            Output("assistant", tool_calls=[Call(Function({"city": "Paris"}, "weather"), "c1", "function")]),
            Message("assistant", "", (WEATHER,)),
        ),
        ({"role": "assistant", "content": "", "tool_calls": [WEATHER]}, Message("assistant", "", (WEATHER,))),
        (
            {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "21"},
            Message("tool", "21", tool_call_id="c1", name="weather"),
        ),
        ({"role": "function", "name": "weather", "content": "21"}, Message("tool", "21", name="weather")),
        (
            {"role": "tool", "content": parts("2", "1"), "tool_call_id": "c1"},
            Message("tool", "21", tool_call_id="c1"),
        ),
        ({"role": "user", "content": "Hi", "name": "Ann"}, Message("user", "Hi", name="Ann")),
        (
            {"role": "assistant", "content": "Hi", "reasoning": "Hm."},
            Message("assistant", "Hi", reasoning="Hm."),
        ),
        (
            {"role": "assistant", "content": None, "reasoning_content": "Hm."},
            Message("assistant", "", reasoning="Hm."),
        ),
        (
            {"role": "assistant", "content": "Hi", "thinking": "Hm.", "reasoning": "Hm."},
            Message("assistant", "Hi", reasoning="Hm."),
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm."}, *parts("Hi")],
            },  # Anthropic's
            Message("assistant", "Hi", reasoning="Hm."),
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": parts("H", "m.")}, *parts("Hi")],
            },
            Message("assistant", "Hi", reasoning="Hm."),
        ),  # Mistral's
        (Output("assistant", "Hi", reasoning="Hm."), Message("assistant", "Hi", reasoning="Hm.")),
    ],
)
def test_calls_results_and_reasoning_are_read(item, message):
    assert to_messages([item]) == (message,)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            {"role": "assistant", "content": "", "tool_calls": {"a": 1}},
            "must have a list as its tool_calls, not dict",
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"type": "custom", "custom": {}}]},
            "has a tool call 0 of type 'custom'",
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [WEATHER, call_dict([1])]},
            "has a tool call 1 whose arguments must be an object or its JSON text, not list",
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [call_dict({"a": object()})]},
            "whose arguments must be what JSON can hold",
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [call_dict("", id=5)]},
            "whose id must be a string, not int",
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [WEATHER], "function_call": {"name": "f"}},
            "either tool_calls or function_call, not both",
        ),
        (
            {"role": "assistant", "content": "", "function_call": {"arguments": "{}"}},
            "function_call without the name",
        ),
        ({"role": "user", "content": "", "tool_calls": [WEATHER]}, "'user' message must not have tool_calls"),
        ({"role": "tool", "content": "", "reasoning": "x"}, "'tool' message must not have reasoning"),
        ({"role": "tool", "content": None, "tool_call_id": "c1"}, "must be a string, not NoneType"),
        (
            {"role": "tool", "content": "", "tool_call_id": 5},
            "tool_call_id of a 'tool' message must be a string",
        ),
        (
            {"role": "tool", "content": {"a": 1}, "tool_call_id": "c1"},
            "content of a 'tool' message must be a string",
        ),
        (
            {"role": "assistant", "content": "", "reasoning": ["x"]},
            "must have a string as its reasoning, not list",
        ),
        (
            {"role": "assistant", "content": "", "reasoning": "x", "thinking": "y"},
            "its reasoning once, not two",
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": None}]},
            "has a part of type 'thinking' without a text",
        ),
    ],
)
def test_wrong_calls_results_and_reasoning_are_refused_by_place(item, words):
    with pytest.raises(ConfigurationError) as caught:
        to_messages([user("fine"), item])
    assert caught.value.message.startswith("message 1")
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tool_calls": [{}]}, "tool_calls of a 'assistant' message must be ToolCall values"),
        ({"tool_calls": "x"}, "must be ToolCall values"),
        ({"name": 5}, "name of a 'assistant' message must be a string, not int"),
        ({"content": [5]}, "list of strings, TextPart and ImagePart, not of int"),
    ],
)
def test_wrong_values_of_a_message(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        Message("assistant", **arguments)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
IMAGE = ImagePart(PNG)
URI = IMAGE.url


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": URI, "detail": "low"}},
        {"type": "image_url", "image_url": URI},
        {"type": "input_image", "image_url": URI},
        {"type": "image", "url": URI},
        {"type": "image", "image": URI},
        {"type": "image", "image": PNG},
        {"type": "image", "base64": URI.partition(",")[2]},
        {"type": "image", "base64": URI.partition(",")[2], "mime_type": "image/png"},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": URI.partition(",")[2]},
        },
        {"type": "image", "image": IMAGE},
        IMAGE,
    ],
)
def test_images_of_other_libraries_are_read(part):
    (message,) = to_messages([{"role": "user", "content": [*parts("What", "?"), part]}])
    assert message == Message("user", ["What", "?", IMAGE])
    assert (message.text, message.images) == ("What?", (IMAGE,))


def test_urls_and_paths_of_images():
    url = "https://example.org/a.png"
    assert to_messages(
        [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": url}}]}]
    ) == (Message("user", [ImagePart(url)]),)
    assert to_messages([{"role": "user", "content": [{"type": "image", "path": Path("a.png")}]}]) == (
        Message("user", [ImagePart("a.png")]),
    )


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image"}, "has a part of type 'image': it must have an image"),
        (
            {"type": "image", "path": "/etc/passwd"},
            "http(s) url or a data URI, not '/etc/passwd': give ImagePart(path)",
        ),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "not 'file:///etc/passwd'"),
        (
            {"type": "image_url", "image_url": {"url": "data:text/plain;base64,aGk="}},
            "of a type like 'image/png'",
        ),
        ({"type": "image", "base64": "!"}, "must be base64"),
        ({"type": "image", "url": 5}, "'url' must be a url or a data URI, not int"),
    ],
)
def test_what_is_no_image_is_refused_by_place(part, words):
    with pytest.raises(ConfigurationError) as caught:
        to_messages([{"role": "user", "content": [part]}])
    assert caught.value.message.startswith("message 0 has a part of type")
    assert words in caught.value.message


def test_a_content_of_texts_is_one_text():
    assert Message("user", ["Hi", Text(" there")]) == user("Hi there") == user(["Hi", " there"])
    assert to_messages([{"role": "user", "content": (Text("Hi"),)}]) == (user("Hi"),)


texts = st.text(max_size=5)
messages = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user"]), texts, name=st.none() | texts.filter(bool)),
    st.builds(lambda text: Message("user", [text, IMAGE, "x"]), texts.filter(bool)),
    st.builds(
        Message, st.just("tool"), texts, tool_call_id=texts.filter(bool), name=st.none() | texts.filter(bool)
    ),
    st.builds(
        Message,
        st.just("assistant"),
        texts,
        st.lists(st.builds(ToolCall, texts, texts.filter(bool), texts), max_size=3).map(tuple),
        reasoning=st.none() | texts.filter(bool),
    ),
)


@given(st.lists(messages, min_size=1, max_size=4))
def test_messages_survive_the_way_through_dictionaries(conversation):
    written = [message.as_dict() for message in conversation]
    assert to_messages(json.loads(json.dumps(written))) == tuple(conversation)
    assert pickle.loads(pickle.dumps(conversation)) == conversation
    assert len({*conversation}) <= len(conversation)
    assert [eval(repr(message)) for message in conversation if not message.images] == [
        message for message in conversation if not message.images
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "role",
                        "content",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "type",
                        "text",
                        "image_url",
                        "url",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_message_or_a_configuration_error(value):
    with contextlib.suppress(ConfigurationError):
        read_messages(
            [{"role": "assistant", "content": "", **(value if isinstance(value, dict) else {})}, value]
        )
