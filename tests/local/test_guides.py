"""Guides of the embedded server: what is given to llama.cpp, and what is refused because it would be ignored."""

import json

import pytest

from nupic_client.local.engine import GUIDE, GUIDE_TYPE, InvalidRequestError
from nupic_client.local.engines.guides import guided


def fields(kind, guide=None):
    return guided({GUIDE_TYPE: kind, **({} if guide is None else {GUIDE: guide})})


def schema(given):
    made = fields("json_schema", json.dumps(given))["json_schema"]
    assert made.pop("x-guidance")["whitespace_flexible"] is False
    return made


def test_without_a_guide_nothing_is_asked():
    assert guided({"max_tokens": 3}) == {}


def test_any_object():
    assert fields("json")["json_schema"]["type"] == "object"


def test_a_grammar_is_given_as_it_is():
    assert fields("ebnf_grammar", 'root ::= "a"') == {"grammar": 'root ::= "a"'}


@pytest.mark.parametrize(
    ("pattern", "between"),
    [
        ("a/b", r"a\/b"),
        (r"a\/b", r"a\/b"),
        ("a\nb", r"a\nb"),
        (r"\d{4}", "[0-9]{4}"),
        (r"[\w.-]+", "[0-9A-Za-z_.-]+"),
        (r"[^\d]", r"[^\d]"),
        (r"\\d", r"\\d"),
        (r"^[A-Z]+(?:-\.)?$", r"^[A-Z]+(?:-\.)?$"),
        (r"(?P<year>[0-9])|x{2,}?", r"(?P<year>[0-9])|x{2,}?"),
        (r"[]a]b[^]c]", r"[]a]b[^]c]"),
        (r"\[\{\}\]", r"\[\{\}\]"),
    ],
)
def test_a_regular_expression_is_written_between_slashes(pattern, between):
    assert fields("regex", pattern) == {"grammar": f"%llguidance {{}}\nstart: /{between}/"}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", r"'\\\\1'"),
        (r"\bword", r"'\\\\b'"),
        (r"\Aa", r"'\\\\A'"),
        (r"\<a", "'.*<'"),
        ("a$b", r"'\$' but at the end"),
        ("a|^b", r"'\^' but at the beginning"),
        ("a++", r"'\+\+'"),
        ("a{,3}", r"write \\\{"),
        ("(?>a)", r"\(\?>"),
        ("(?P<x>a)(?P=x)", r"\(\?P="),
        ("(?#words)a", r"\(\?#"),
        ("(?x) a", r"\(\?x"),
        ("[[]a", r"'\[' in a class"),
        ("[a&&b]", "'&&' in a class"),
        (r"[\b]", r"'\\\\b'"),
    ],
)
def test_what_rust_does_not_read_as_python_does_is_refused(pattern, words):
    with pytest.raises(InvalidRequestError, match=words):
        fields("regex", pattern)
    if (
        "in a class" not in words and "++" not in pattern
    ):  # Python warns of those, or does not know them before 3.11
        with pytest.raises(InvalidRequestError, match=words):
            schema({"properties": {"a": {"type": "string", "pattern": pattern}}})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"uniqueItems": True}, "'uniqueItems'"),
        ({"not": {}}, "'not'"),
        ({"if": {}, "then": {}}, "'if'"),
        ({"contains": {}}, "'contains'"),
        ({"propertyNames": {"maxLength": 3}}, "'propertyNames'"),
        ({"dependentRequired": {"a": ["b"]}}, "'dependentRequired'"),
        ({"properties": {"a": {"items": {"uniqueItems": True}}}}, "'uniqueItems' at /properties/a/items"),
        ({"$defs": {"A": {"not": {}}}}, "'not' at /\\$defs/A"),
        ({"format": "uri"}, "the format 'uri'"),
        ({"format": "date", "pattern": "a"}, "'format' beside 'pattern'"),
        ({"required": ["a"], "maxProperties": 3}, "beside 'required'"),
        ({"type": "integer", "minimum": 3, "maximum": 1}, "nothing fits"),
        ({"enum": ["a"], "type": "integer"}, "nothing fits"),
        ({"required": ["a"], "additionalProperties": False}, "nothing fits"),
        ({"$ref": "#/$defs/nope"}, "leads nowhere"),
        ({"nullable": True}, "'nullable'"),
        ([], "must be a JSON Schema, not array"),
    ],
    ids=str,
)
def test_a_schema_that_would_be_ignored_is_refused_by_what_is_in_it(given, words):
    with pytest.raises(InvalidRequestError, match=words):
        schema(given)


@pytest.mark.parametrize(
    ("kind", "guide", "words"),
    [
        ("xml", "a", "must be one of 'json', 'json_schema'"),
        (None, "a", "must be one of"),
        (b"\xff", "a", "must be one of"),
        ("json_schema", None, "must be a non-empty text"),
        ("json_schema", "{", "must be a JSON Schema"),
        ("json_schema", "[" * 100_000, "must be a JSON Schema"),
        ("regex", " ", "must be a non-empty text"),
        ("ebnf_grammar", b"\xff", "must be a non-empty text"),
        ("ebnf_grammar", "%llguidance {}\nstart: /(?=a)/", "not one of llguidance"),
    ],
)
def test_what_is_no_guide_is_refused(kind, guide, words):
    with pytest.raises(InvalidRequestError, match=words):
        guided({key: value for key, value in ((GUIDE_TYPE, kind), (GUIDE, guide)) if value is not None})


def test_what_says_nothing_is_left_out():
    assert schema({"title": "T", "type": "string", "format": "color", "x-mine": 1, "default": "a"}) == {
        "type": "string"
    }
    assert schema({"type": "array", "uniqueItems": False, "items": {}}) == {"type": "array", "items": {}}
    assert schema({"enum": ["a", 1, True], "type": ["integer", "string"]})["enum"] == ["a", 1]


def test_one_of_is_any_of():
    assert schema({"oneOf": [{"type": "integer"}, {"const": "a"}]}) == {
        "anyOf": [{"type": "integer"}, {"const": "a"}]
    }


@pytest.mark.parametrize(
    ("given", "closed"),
    [
        ({"type": "object", "properties": {"a": {}}}, True),
        ({"properties": {"a": {}}, "required": ["a"]}, True),
        ({"properties": {"a": {}}, "required": ["b"]}, False),
        ({"type": "object"}, False),
        ({"properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}, False),
        ({"properties": {"a": {}}, "patternProperties": {"b": {}}}, False),
    ],
)
def test_an_object_has_no_more_than_what_is_named(given, closed):
    assert (schema(given).get("additionalProperties") is False) == closed


def test_what_a_schema_says_itself_of_other_properties_counts():
    assert schema({"properties": {"a": {}}, "additionalProperties": True})["additionalProperties"] is True
    parts = {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}
    assert schema(parts) == parts
