"""Contents that are read as a whole: tags, lines, JSON in a dialect."""

from __future__ import annotations

import pytest

from nupic_client._core.generation.answer.calls import CallLog
from nupic_client._core.generation.answer.contents import content_reader, is_dialect
from nupic_client._core.generation.answer.recipe import recipe_of
from nupic_client.prompts import AnswerField
from nupic_client.tools import Tool

NAMED = {"function": {"name": "{name}", "arguments": "{content}"}}
TAG = {"tag_pattern": r"<p=(?P<key>\w+)>(?P<value>.*?)</p>"}
ANY = {"name": "json", "args": {"allow_non_json": True}}


def read(body, content, *, transform=NAMED, tools=(), **args):
    field = AnswerField(
        name="tool_calls", open_pattern="(?P<name>x)", content=content, content_args=args, transform=transform
    )
    log = CallLog(str)
    reader = content_reader(field, recipe_of(field), {tool.name: tool for tool in tools})
    right = reader(body, {"name": "f"}, log)
    assert right == bool(log.calls)
    return [call.parsed for call in log.calls] if right else None


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ("<p=a>1</p> <p=b>x</p>", [{"a": 1, "b": "x"}]),
        ("<p=a>1</p><p=a>2</p>", [{"a": 2}]),
        ("", [{}]),
        ("\n</f>", [{}]),
        ("<p=a>1</p></f>", [{"a": 1}]),
        ("<p=a>1</p><p=b>2", None),
        ("<p=a>1</p><", None),
        ("words", None),
    ],
)
def test_tags(body, made):
    assert read(body, "xml-inline", value_parser=ANY, **TAG) == made


def test_tags_may_say_what_they_are():
    tag = r"<p=(?P<key>\w+) s=(?P<string>\w+)>(?P<value>.*?)</p>"
    body = "<p=a s=true>1</p><p=b s=false>1</p>"
    assert read(body, "xml-inline", tag_pattern=tag, value_parser=ANY) == [{"a": "1", "b": 1}]


def test_values_have_types():
    assert read("<p=a>1</p>", "xml-inline", **TAG) == [{"a": "1"}]
    assert read("<p=a>1</p>", "xml-inline", value_parser={"name": "int"}, **TAG) == [{"a": 1}]
    tool = Tool(
        "f",
        "",
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"items": {"type": "integer"}}}},
    )
    assert read("<p=a>1</p>", "xml-inline", tools=[tool], value_parser=ANY, **TAG) == [{"a": "1"}]
    twice = "<p=b>1</p><p=b>2</p>"
    assert read(twice, "xml-inline", tools=[tool], merge_duplicates=True, **TAG) == [{"b": [1, 2]}]


def test_many_tags_without_an_end_cost_no_more():
    assert read("<p=a>" * 20_000, "xml-inline", **TAG) is None
    assert read("<p=a>1</p>" + "<p=a>" * 20_000, "xml-inline", **TAG) is None


def test_lines():
    assert read("a: 1\n\nno\n b : two: 2 \n", "kv-lines") == [{"a": "1", "b": "two: 2"}]
    assert read("a=1;b=2", "kv-lines", kv_sep="=", line_sep=";", value_parser=ANY) == [{"a": 1, "b": 2}]
    assert read("no", "kv-lines") is None
    whole = {"function": {"name": "{content.who}", "arguments": "{content.what}"}}
    assert read('who: g\nwhat: {"a": 1}', "kv-lines", transform=whole) == [{"a": 1}]
    assert read("who: g\nwhat: 5", "kv-lines", transform=whole) is None


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ('{a:1,b:<q>x"y<q>}', [{"a": 1, "b": 'x"y'}]),
        ('{"a":[<q>1<q>,{k:null}]}', [{"a": ["1", {"k": None}]}]),
        ('{"a": "b{c:1"}', [{"a": "b{c:1"}]),
        ("{a:<q>x}", None),
        ('{a:"x}', None),
        ("{a:word}", None),
        ("{}{}", None),
    ],
)
def test_a_dialect_of_json(body, made):
    assert read(body, "json", unquoted_keys=True, string_delims=[["<q>", "<q>"]]) == made


def test_quotes_without_an_end_cost_no_more():
    assert read("{a:" + '"\\"' * 50_000, "json", unquoted_keys=True) is None


def test_a_list_with_one_wrong_call_has_none():
    body = '[{name: "f", arguments: {}}, {name: 1}]'
    assert read(body, "json", transform={"function": "{content}"}, unquoted_keys=True) is None


def test_a_text_is_no_call():
    assert read("5", "int") is None
    assert not is_dialect(AnswerField(name="tool_calls", open="x", content="json"))
