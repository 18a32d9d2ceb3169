from __future__ import annotations

import pickle

import pytest

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
    ("content", "kind"), [(None, "NoneType"), (5, "int"), (b"Hi", "bytes"), (["Hi"], "list")]
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
    "item", [{}, {"role": "user"}, {"role": "user", "content": "Hi", "name": "Ann"}, {1: 2}]
)
def test_a_mapping_with_other_keys_is_an_error_with_its_place(item):
    with pytest.raises(ConfigurationError, match="message 0 must have exactly the keys 'role' and 'content'"):
        to_messages([item])


def test_the_values_of_a_mapping_are_checked():
    with pytest.raises(ConfigurationError, match="must be a string, not NoneType"):
        to_messages([{"role": "assistant", "content": None}])
