"""Calls in JSON: names, arguments and ids by the recipe of their field."""

from __future__ import annotations

import pytest

from nupic_client._core.generation.answer.calls import CallLog
from nupic_client._core.generation.answer.json_calls import JsonCalls, unquoted
from nupic_client._core.generation.answer.reading import Reading
from nupic_client._core.generation.answer.recipe import recipe_of
from nupic_client.prompts import AnswerField


def read(text, *, transform=None, groups=None, anchored=True, pattern=None):
    field = AnswerField(name="tool_calls", open_pattern=pattern or "x", content="json", transform=transform)
    log = CallLog(str)
    reader = JsonCalls(recipe_of(field), groups or {}, log, anchored=anchored)
    state, place = Reading.MORE, 0
    for end in range(len(text) + 1):
        if state is Reading.MORE:
            state, place = reader.feed(text[:end], place, final=False)
    return state, [(call.id, call.name, call.arguments) for call in log.calls], place


def test_an_object_and_a_list():
    call = '{"name": "f", "arguments": {"a": [1]}}'
    assert read(f"{call} more") == (Reading.DONE, [("0", "f", '{"a": [1]}')], len(call))
    assert read(f"[{call}, {call}]")[1] == [("0", "f", '{"a": [1]}'), ("1", "f", '{"a": [1]}')]


@pytest.mark.parametrize(
    "text",
    ["[]", "[1]", "{}", '{"arguments": {}}', '{"name": 1, "arguments": {}}', '{"name": "", "arguments": {}}', "5", '"f"',
     '{"name": "f", "arguments": [1]}', '{"name": "f", "arguments": "no"}', '{"name": "\\ud800", "arguments": {}}'],
)  # fmt: skip
def test_no_calls(text):
    state, calls, _ = read(f"{text} ")
    assert (state, calls) == (Reading.WRONG, [])


def test_without_an_anchor_a_call_has_arguments():
    assert read('{"name": "f"}')[1] == [("0", "f", "{}")]
    assert read('{"name": "f"}', anchored=False)[0] is Reading.WRONG


def test_openais_form_and_other_keys():
    assert read('{"type": "function", "id": "x", "function": {"arguments": {}, "name": "f"}}')[1] == [
        ("x", "f", "{}")
    ]
    assert read('{"extra": {"name": "no", "arguments": {"n": 1}}, "name": "f", "parameters": {}}')[1] == [
        ("0", "f", "{}")
    ]
    assert read('{"list": [{"name": "no"}], "name": "f", "arguments": {"name": "g"}}')[1] == [
        ("0", "f", '{"name": "g"}')
    ]


def test_names_of_the_anchor():
    named = {"function": {"name": "{name}", "arguments": "{content}"}, "id": "{id}"}
    pattern = "(?P<name>a)(?P<id>b)"
    read_one = read('{"a": 1} ', transform=named, groups={"name": "f", "id": "7"}, pattern=pattern)
    assert read_one == (Reading.DONE, [("7", "f", '{"a": 1}')], 8)
    assert read("[1]", transform=named, groups={"name": "f"}, pattern=pattern)[0] is Reading.WRONG


def test_unquoted():
    assert unquoted("a\\n\\u00e9") == "a\né"
    assert unquoted("\\ud83d\\ude00") == "😀"
    assert unquoted("\\ud83d") is None
