"""Arguments written as plain text: the JSON that a schema makes of them."""

from __future__ import annotations

import json

import pytest

from nupic_client._core.generation.answer.casting import cast, joined, properties_of, quoted


@pytest.mark.parametrize(
    ("text", "schema", "made"),
    [
        ("7", {"type": "integer"}, 7),
        ("007", {"type": "integer"}, 7),
        ("-3.0", {"type": "integer"}, -3),
        ("3.5", {"type": "integer"}, "3.5"),
        ("1" * 5000, {"type": "integer"}, None),
        ("1.50", {"type": "number"}, 1.5),
        (" 2e3 ", {"type": "number"}, 2000.0),
        ("nan", {"type": "number"}, "nan"),
        ("1e999", {"type": "number"}, "1e999"),
        ("1_0", {"type": "number"}, "1_0"),
        (".5", {"type": "number"}, 0.5),
        ("True", {"type": "boolean"}, True),
        ("0", {"type": "boolean"}, False),
        ("yes", {"type": "boolean"}, "yes"),
        ("None", {"type": ["string", "null"]}, None),
        ("null", {"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        ("null", {"type": "string"}, "null"),
        ("1.50", {"type": "string"}, "1.50"),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ('{"a": 1}', {"type": "array"}, '{"a": 1}'),
        ("[1", {"type": "array"}, "[1"),
        ("2", {"enum": [1, 2]}, 2),
        ("a", {"const": "a"}, "a"),
        ("5", {"type": "integer", "nullable": True}, 5),
        ("null", {"type": "integer", "nullable": True}, None),
        ("[1, 2]", None, [1, 2]),
        ("two words", None, "two words"),
        ("5", {"type": 3}, 5),
    ],
)
def test_cast(text, schema, made):
    got = cast(text, schema, json_by_default=True)
    if len(text) > 4000:
        assert got == text
    else:
        assert json.loads(got) == made
        assert type(json.loads(got)) is type(made)


def test_text_by_default():
    assert cast("5", None, json_by_default=False) == '"5"'


def test_a_schema_may_be_of_any_depth():
    schema = {"type": "string"}
    for _ in range(500):
        schema = {"anyOf": [schema, schema]}
    assert cast("5", schema, json_by_default=False) == '"5"'


def test_objects():
    assert joined({}) == "{}"
    assert joined({'a"': "1", "é": "[]"}) == '{"a\\"": 1, "é": []}'
    assert quoted("é\n") == '"é\\n"'
    assert properties_of({"properties": {"a": {}}}) == {"a": {}}
    assert properties_of(None) == properties_of({"properties": []}) == {}
