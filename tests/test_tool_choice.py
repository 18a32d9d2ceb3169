"""``tool_choice=``: its spellings, the form of a forced call, and what is wrong with a call."""

from __future__ import annotations

import json

import jsonschema
import pytest

from nupic_client._tool_choice import AUTO, ToolChoice, call_violations, forced_format, read_tool_choice
from nupic_client.errors import ConfigurationError
from nupic_client.tools import Tool, ToolCall

TREE = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/Node"}},
    "required": ["root"],
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["value"],
        }
    },
}
OTHER = {**TREE, "$defs": {"Node": {"type": "string"}}}
ADD = Tool("add", "", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, AUTO),
        ("auto", AUTO),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("add", ToolChoice("required", "add")),
        (ADD, ToolChoice("required", "add")),
        ({"type": "function", "function": {"name": "add"}}, ToolChoice("required", "add")),
        ({"type": "function", "name": "add"}, ToolChoice("required", "add")),
        ({"name": "add"}, ToolChoice("required", "add")),
        (ToolChoice("none"), ToolChoice("none")),
    ],
)
def test_spellings(given, wanted):
    assert read_tool_choice(given) == wanted


@pytest.mark.parametrize("given", ["", 3, [], {}, {"type": "tool"}, {"function": "add"}, {"name": ""}, True])
def test_other_things_are_refused(given):
    with pytest.raises(ConfigurationError, match="tool_choice must be"):
        read_tool_choice(given)


def test_references_still_mean_what_they_meant():
    """Two tools may have different definitions of one name."""
    schema = forced_format([Tool("tree", "", TREE), Tool("other", "", OTHER), ADD]).guide.value
    node = {"value": 1, "children": [{"value": 2, "children": []}]}
    for call, fits in [
        ({"name": "tree", "arguments": {"root": node}}, True),
        ({"name": "tree", "arguments": {"root": "x"}}, False),
        ({"name": "other", "arguments": {"root": "x"}}, True),
        ({"name": "other", "arguments": {"root": node}}, False),
        ({"name": "add", "arguments": {"a": 1}}, True),
        ({"name": "add", "arguments": {"a": "1"}}, False),
        ({"name": "sub", "arguments": {"a": 1}}, False),
        ({"name": "add"}, False),
        ({"name": "add", "arguments": {"a": 1}, "more": 1}, False),
    ]:
        assert jsonschema.Draft202012Validator(schema).is_valid(call) is fits, call
        assert (
            forced_format([Tool("tree", "", TREE), Tool("other", "", OTHER), ADD]).find(call) == ()
        ) is fits


def test_a_tool_without_references_is_written_as_it_is():
    schema = forced_format([ADD]).guide.value
    assert schema["properties"]["arguments"] == {**ADD.parameters, "additionalProperties": False}
    assert "$defs" not in schema


@pytest.mark.parametrize(
    ("parameters", "extra"),
    [
        ({"type": "object", "properties": {}}, False),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, False),
        ({"type": "object", "properties": {}, "additionalProperties": True}, True),
        ({"type": "object", "properties": {}, "additionalProperties": {"type": "integer"}}, True),
        ({"type": "object"}, True),
        ({"type": "object", "properties": {}, "allOf": [{"properties": {"b": {"type": "integer"}}}]}, True),
    ],
)
def test_a_forced_call_has_no_arguments_that_its_tool_does_not_name(parameters, extra):
    form = forced_format([Tool("t", "", parameters)])
    assert (form.find({"name": "t", "arguments": {"b": 1}}) == ()) is extra
    assert form.find({"name": "t", "arguments": {}}) == ()


def test_what_is_wrong_with_calls():
    good = ToolCall("1", "add", '{"a": 1}')
    assert call_violations([good], [ADD]) == ()
    assert "has no call" in call_violations([], [ADD])[0]
    for name, arguments, words in [
        ("sub", "{}", "'sub' is called, which is not 'add'"),
        ("add", "{}", "add: "),
        ("add", "{", "add: the arguments must be a JSON object"),
        ("add", "[]", "add: the arguments must be a JSON object"),
        ("add", json.dumps({"a": "1"}), "add: "),
    ]:
        (violation,) = call_violations([ToolCall("1", name, arguments)], [ADD])
        assert violation.startswith(words)
    assert len(call_violations([good, ToolCall("2", "add", "{")], [ADD])) == 1


def test_what_is_offered():
    assert AUTO.offered([ADD]) == (ADD,)
    assert ToolChoice("none").offered([ADD]) == ()
    with pytest.raises(ConfigurationError, match="did you mean 'add'"):
        ToolChoice("required", "ad").offered([ADD])


def test_parameters_of_a_good_depth_can_be_required():
    schema: dict[str, object] = {}
    for _ in range(95):
        schema = {"type": "object", "properties": {"a": schema}}
    assert forced_format([Tool("f", parameters=schema)])
