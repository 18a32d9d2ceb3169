"""JSON Schemas that are checked here: the same verdict as `jsonschema`, and what is refused."""

import json
import pickle

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nupic_client._json_formats import FORMATS
from nupic_client._json_validation import MOST_VIOLATIONS, Validator
from nupic_client.errors import ConfigurationError

VALUES = [
    *(None, True, False, 0, 1, -1, 3, 7, 1.0, 0.5, -2.5, 4.5e15, 10**30),
    *("", "a", "abc", "2024-02-30", "2024-02-29", "é" * 4, "yes"),
    *([], [1], [1, 1], [1, 1.0], [1, True], [1, "a", None], [[1], [1.0]], [1, 2, 3, 4]),
    *({}, {"a": 1}, {"a": "x"}, {"b": 1}, {"a": 1, "b": 2}, {"a": {"a": 1}}, {"abc": 1, "x": None}),
    {"value": 1, "next": {"value": 2, "next": None}},
    {"value": 1, "next": {"value": "2", "next": None}},
]
SCHEMAS = [
    {},
    *({"type": kind} for kind in ("null", "boolean", "integer", "number", "string", "array", "object")),
    {"type": ["integer", "null"]},
    {"enum": [1, "a", None, [1], {"a": 1}]},
    {"enum": [True]},
    {"const": 1},
    {"const": {"a": 1.0}},
    {"const": [1, 1]},
    *({keyword: 1} for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    {"multipleOf": 0.5},
    {"multipleOf": 3},
    *({keyword: 2} for keyword in ("minLength", "maxLength", "minItems", "maxItems")),
    *({keyword: 1} for keyword in ("minProperties", "maxProperties")),
    {"pattern": "b"},
    {"pattern": "^a"},
    {"required": ["a"]},
    {"properties": {"a": {"type": "integer"}}},
    {"properties": {"a": True, "b": False}},
    {"properties": {"a": {}}, "additionalProperties": False},
    {"properties": {"a": {}}, "additionalProperties": {"type": "null"}},
    {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False},
    {"patternProperties": {"b": {"type": "string"}, "a": {"minimum": 1}}},
    {"propertyNames": {"maxLength": 1}},
    {"dependentRequired": {"a": ["b"]}},
    {"items": {"type": "integer"}},
    {"items": False},
    {"prefixItems": [{"type": "integer"}, {"type": "string"}]},
    {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
    {"prefixItems": [{}], "items": False},
    {"uniqueItems": True},
    {"contains": {"const": 1}},
    {"contains": {"const": 1}, "minContains": 2},
    {"contains": {"const": 1}, "minContains": 0, "maxContains": 1},
    {"allOf": [{"minimum": 0}, {"maximum": 5}]},
    {"anyOf": [{"type": "string"}, {"minimum": 1}]},
    {"oneOf": [{"type": "integer"}, {"minimum": 1}]},
    {"not": {"type": "array"}},
    {"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "string"}},
    {"if": {"type": "integer"}},
    {"then": False},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}},
    {"$ref": "#/$defs/a~1b/properties/x", "$defs": {"a/b": {"properties": {"x": {"minLength": 2}}}}},
    {
        "$ref": "#/$defs/N",
        "$defs": {
            "N": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "next": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]},
                },
                "required": ["value"],
            }
        },
    },
    {"properties": {"a": {"$ref": "#"}}, "type": "object"},
    {"definitions": {"p": {"minimum": 0}}, "properties": {"a": {"$ref": "#/definitions/p"}}},
    {"title": "T", "description": "d", "default": 3, "examples": [1], "x-mine": 1, "deprecated": True},
]


def agrees(schema, value):
    ours = Validator(schema).violations(value)
    theirs = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (not ours) == theirs, (schema, value, ours)


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_the_verdict_is_that_of_jsonschema(schema):
    for value in VALUES:
        agrees(schema, value)


LEAVES = st.sampled_from([schema for schema in SCHEMAS if "$ref" not in json.dumps(schema)])


def combined(inner):
    pairs = st.lists(inner, min_size=1, max_size=3)
    return (
        st.fixed_dictionaries({"anyOf": pairs})
        | st.fixed_dictionaries({"oneOf": pairs})
        | st.fixed_dictionaries({"allOf": pairs})
        | st.fixed_dictionaries({"not": inner})
        | st.fixed_dictionaries({"items": inner, "contains": inner})
        | st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("ab"), inner)})
        | st.fixed_dictionaries({"if": inner, "then": inner, "else": inner})
        | st.fixed_dictionaries({"additionalProperties": inner, "prefixItems": pairs})
    )


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.recursive(LEAVES, combined, max_leaves=6))
def test_schemas_inside_of_others_too(schema):
    for value in VALUES:
        agrees(schema, value)


@pytest.mark.parametrize(
    ("schema", "value", "violations"),
    [
        ({"type": "integer"}, "x" * 100, [f'the value must be an integer, not "{"x" * 56}...']),
        ({"type": "string"}, {"a": 1}, ["the value must be a string, not an object"]),
        ({"type": ["string", "null"]}, 1, ["the value must be a string or null, not 1"]),
        (
            {"items": {"properties": {"a b": {"minimum": 3}}}},
            [{"a b": 2}],
            ["[0]['a b'] must be at least 3, not 2"],
        ),
        (
            {"properties": {"user": {"required": ["name"], "properties": {"age": {"type": "integer"}}}}},
            {"user": {"age": 1.5}},
            ["user.age must be an integer, not 1.5", "user.name is missing"],
        ),
        (
            {"properties": {"name": {}}, "additionalProperties": False},
            {"nmae": 1},
            ["nmae must not be there: did you mean 'name'? there is 'name'"],
        ),
        ({"enum": ["red", "green"]}, "blue", ['the value must be one of "red", "green", not "blue"']),
        ({"maxItems": 1}, [1, 2], ["the value must have at most 1 items, not 2"]),
        ({"format": "date"}, "yesterday", ['the value must be a date, not "yesterday"']),
        (
            {"anyOf": [{"type": "object", "required": ["a"]}, {"type": "null"}]},
            {},
            ["a is missing"],
        ),
        (
            {
                "oneOf": [
                    {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}},
                    {"$ref": "#/$defs/dog"},
                ],
                "$defs": {"dog": {"properties": {"kind": {"const": "dog"}, "name": {"type": "string"}}}},
            },
            {"kind": "dog", "name": 3},
            ["name must be a string, not 3"],
        ),
        ({"anyOf": [{"minimum": 3}, {"maximum": 1}]}, 2, ["the value must fit one of 2 alternatives, not 2"]),
    ],
)
def test_a_violation_is_a_sentence(schema, value, violations):
    found = Validator(schema).violations(value)
    assert sorted(found) == sorted(violations)


def test_only_so_many_violations_are_told():
    assert len(Validator({"items": {"type": "string"}}).violations([1] * 1000)) == MOST_VIOLATIONS


def test_the_digits_of_a_number_decide_what_it_is_a_multiple_of():
    assert not Validator({"multipleOf": 0.1}).violations(0.3)
    assert not Validator({"multipleOf": 0.01}).violations(19.99)
    assert Validator({"multipleOf": 0.01}).violations(19.999)
    assert Validator({"multipleOf": 1e-300}).violations(1e308) is not None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "text"}, "has 'type', which must be of 'array', 'boolean'"),
        ({"type": []}, "has 'type', which must be"),
        ({"enum": []}, "has 'enum', which must be a list of at least one value"),
        ({"anyOf": []}, "a list of at least one schema"),
        ({"anyOf": {}}, "a list of schemas"),
        ({"properties": []}, "a mapping of names to schemas"),
        ({"properties": {"a": 3}}, "a mapping of names to schemas"),
        ({"required": "a"}, "a list of names"),
        ({"minLength": -1}, "a number of them >= 0"),
        ({"minimum": "3"}, "must be a number"),
        ({"multipleOf": 0}, "a number > 0"),
        ({"pattern": "("}, "a regular expression"),
        ({"patternProperties": {"(": {}}}, "a regular expression"),
        ({"uniqueItems": 1}, "true or false"),
        ({"items": [{}]}, "call it prefixItems"),
        ({"nullable": True}, "'nullable', which is not supported: use anyOf with the type null"),
        ({"unevaluatedProperties": False}, "use additionalProperties"),
        ({"$dynamicRef": "#x"}, "use \\$ref"),
        ({"propertis": {}}, "unknown keyword 'propertis': did you mean 'properties'?"),
        ({"properties": {"a": {"minLenght": 3}}}, "at /properties/a has the unknown keyword"),
        ({"$ref": "https://example.com/schema"}, "only references to a part of the schema"),
        ({"$ref": "#/$defs/nope", "$defs": {"note": {}}}, "leads nowhere: did you mean '#/\\$defs/note'"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"nullable": True}}}, "nullable"),
        ({"$ref": "#/x-mine", "x-mine": {"nullable": True}}, "at /x-mine has 'nullable'"),
        ({"$ref": "#"}, "refers to itself without an end"),
        ({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}}, "without an end"),
        ({"default": float("nan")}, "must be JSON"),
        ({"default": object()}, "must be JSON"),
    ],
)
def test_a_schema_that_cannot_be_checked_is_refused(schema, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        Validator(schema)
    assert caught.value.parameter == "response_format"


def test_a_schema_that_is_nested_without_end_is_refused():
    schema = {}
    for _ in range(5000):
        schema = {"items": schema}
    with pytest.raises(ConfigurationError):
        Validator(schema)
    schema["items"] = schema
    with pytest.raises(ConfigurationError):
        Validator(schema)


def test_the_schema_is_a_copy():
    given = {"enum": ["a"]}
    validator = Validator(given)
    given["enum"].append("b")
    assert validator.violations("b")
    assert pickle.loads(pickle.dumps(validator)).violations("b")


def test_alternatives_in_alternatives_do_not_take_for_ever():
    node = {"anyOf": [{"properties": {"next": {"$ref": "#/$defs/N"}}, "required": ["no"]} for _ in range(8)]}
    value = {}
    for _ in range(100):
        value = {"next": value}
    assert Validator({"$ref": "#/$defs/N", "$defs": {"N": node}}).violations(value)


def test_deep_and_large_values_end():
    deep = []
    for _ in range(900):
        deep = [deep]
    nested = {"$ref": "#/$defs/N", "$defs": {"N": {"items": {"$ref": "#/$defs/N"}}}}
    assert Validator(nested).violations(deep) == (
        "the value is too large, or nested too deeply, to be checked",
    )


CHECKED = jsonschema.FormatChecker(["date", "ipv4", "ipv6", "uuid"])


@pytest.mark.parametrize("name", ["date", "ipv4", "ipv6", "uuid"])
@pytest.mark.parametrize(
    "text",
    [
        *("2024-02-29", "2023-02-29", "2024-2-9", "20240229", "2024-02-29T", "", "٢٠٢٤-٠٢-٢٩"),
        *("127.0.0.1", "127.0.0.256", "1.2.3", "01.2.3.4", "::1", "::g", "1::2::3", "::ffff:1.2.3.4"),
        *("123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000", "x" * 36),
    ],
)
def test_formats_are_those_of_jsonschema(name, text):
    assert FORMATS[name](text) == CHECKED.conforms(text, name)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (
            "time",
            ["12:30:00Z", "23:59:60+01:00", "12:30:00.125", "00:00:00z"],
            ["24:00:00", "12:30", "12:30:00+1"],
        ),
        (
            "date-time",
            ["2024-02-29T12:00:00Z", "2024-02-29 12:00:00"],
            ["2024-02-30T12:00:00Z", "2024-02-29"],
        ),
        ("duration", ["P1D", "PT1H30M", "P1Y2M3DT4H5M6S", "P2W", "PT0.5S"], ["P", "PT", "1D", "P1DT", "P1S"]),
        ("email", ["a@b", "a.b+c@example.com"], ["a", "a@", "@b", "a b@c", "a@b@c"]),
        (
            "uri",
            ["https://example.com/a?b=c#d", "urn:x:y", "mailto:a@b"],
            ["example.com", "http://a b", ":x"],
        ),
    ],
)
def test_other_formats(name, right, wrong):
    assert all(map(FORMATS[name], right))
    assert not any(map(FORMATS[name], wrong))


def test_a_format_that_is_not_known_says_nothing():
    assert not Validator({"format": "color"}).violations("anything")
