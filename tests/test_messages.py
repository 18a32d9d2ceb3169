from __future__ import annotations

import pickle
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from nupic_client import StreamingClient
from nupic_client.errors import ConfigurationError
from nupic_client.messages import Message, assistant, system, to_messages, user


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
