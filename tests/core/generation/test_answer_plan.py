"""Whether an answer is read in parts, and what is sent for that."""

from __future__ import annotations

import pytest

from nupic_client import Choice, Regex
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.answer_plan import plan_answer
from nupic_client._json_validation import Validator
from nupic_client.errors import ConfigurationError
from nupic_client.prompts import formatter_for
from nupic_client.prompts.answer_formats import BARE_JSON
from nupic_client.tools import Tool

ADD, SUB = Tool("add"), Tool("sub")
QWEN3 = formatter_for("qwen3").answer
HERMES = formatter_for("qwen2.5").answer


def plan(answer_format, reasons=False, **options):
    return plan_answer("acme", answer_format, CallOptions().override(options), reasons=reasons)


def test_text_alone_needs_no_plan():
    call = CallOptions()
    for answer_format in (None, HERMES):
        assert plan_answer("acme", answer_format, call) == (None, call)


def test_reasoning_is_apart_unless_it_is_wanted_in_the_text():
    assert plan(QWEN3, reasons=True)[0].answer_format is QWEN3
    assert plan(QWEN3, reasons=True, reasoning="include")[0] is None
    assert plan(QWEN3)[0] is None
    assert plan(QWEN3, reasoning="separate")[0].answer_format is QWEN3
    assert plan(QWEN3, reasons=True, response_format="json")[0] is None
    assert plan(QWEN3, reasons=True, response_format="json", enforce="validate")[0].tools == ()
    assert plan(QWEN3, reasoning="include", tools=[ADD])[0].tools == (ADD,)


def test_tools_are_offered_as_the_choice_says():
    assert plan(HERMES, tools=[ADD])[0].tools == (ADD,)
    assert plan(HERMES, tools=[ADD], tool_choice="none")[0] is None


def test_a_forced_call_is_a_form_that_the_server_enforces():
    made, call = plan(HERMES, tools=[ADD, SUB], tool_choice="sub")
    assert (made.answer_format, made.tools, made.must_call) == (BARE_JSON, (ADD, SUB), (SUB,))
    assert call.output_format.guide.value["properties"]["name"] == {"const": "sub"}
    made, call = plan(None, tools=[ADD, SUB], tool_choice="required")
    assert made.must_call == (ADD, SUB)
    assert len(call.output_format.guide.value["anyOf"]) == 2


def test_an_answer_is_a_call_or_has_its_form():
    made, call = plan(None, tools=[ADD, SUB], response_format=list[int])
    assert (made.tools, made.must_call) == ((ADD, SUB), ())
    *calls, answer = call.output_format.guide.value["anyOf"]
    assert [each["properties"]["name"] for each in calls] == [{"const": "add"}, {"const": "sub"}]
    assert answer == {"type": "array", "items": {"type": "integer"}}
    assert call.output_format.read("[1, 2]").value == [1, 2]
    assert call.output_format.read('{"name": "add", "arguments": {}}').violations


def test_references_of_a_form_and_of_tools_do_not_meet():
    tree = {"$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}
    arguments = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/t"}},
        "$defs": {"t": {"type": "null"}},
    }
    _, call = plan(None, tools=[Tool("answer", parameters=arguments)], response_format=tree)
    validator = Validator(call.output_format.guide.value, "schema")
    assert not validator.violations([[], [[]]])
    assert not validator.violations({"name": "answer", "arguments": {"a": None}})
    assert validator.violations({"name": "answer", "arguments": {"a": []}})
    assert validator.violations([1])


def test_a_forced_call_that_only_the_client_checks_is_in_the_familys_own_form():
    made, call = plan(HERMES, tools=[ADD], tool_choice="required", enforce="validate")
    assert (made.answer_format, made.must_call, call.output_format) == (HERMES, (ADD,), None)


def test_special_tokens_are_needed_where_they_mark_parts():
    assert not plan(HERMES, tools=[ADD])[0].needs_special_tokens or HERMES.special_tokens
    assert plan(formatter_for("llama-3.1").answer, tools=[ADD])[0].needs_special_tokens


@pytest.mark.parametrize(
    ("answer_format", "options", "words"),
    [
        (None, {"tools": [ADD]}, "it is not known how its models write calls"),
        (
            HERMES,
            {"tools": [ADD], "response_format": Regex("a")},
            "must be a form in JSON where .*, not regex",
        ),
        (HERMES, {"tools": [ADD], "response_format": Choice(["a"])}, "in JSON .* or set enforce='validate'"),
        (HERMES, {"tools": [ADD], "tool_choice": "add", "response_format": "json"}, "the answer is the call"),
        (HERMES, {"tool_choice": "required"}, "must be given with tools"),
    ],
)
def test_what_cannot_be_is_refused(answer_format, options, words):
    with pytest.raises(ConfigurationError, match=words):
        plan(answer_format, **options)
