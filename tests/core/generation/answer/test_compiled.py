"""Formats made ready: which parts are read, and which strings mean nothing."""

from __future__ import annotations

from nupic_client._core.generation.answer.compiled import Kind, compiled
from nupic_client.prompts import AnswerField, AnswerFormat, answer_format


def kinds(name, *, with_tools):
    return [part.kind for part in compiled(answer_format(name), with_tools=with_tools).parts]


def test_calls_are_read_only_with_tools():
    assert kinds("hermes", with_tools=True) == [Kind.REASONING, Kind.CALLS]
    assert kinds("hermes", with_tools=False) == [Kind.REASONING]
    assert compiled(answer_format("kimi-k2"), with_tools=True).ignored is not None
    assert compiled(answer_format("kimi-k2"), with_tools=False).ignored is None


def test_the_rest_is_text_unless_a_field_says_otherwise():
    assert compiled(answer_format("gpt-oss"), with_tools=True).rest.kind is Kind.TEXT
    odd = AnswerFormat(
        fields=[AnswerField(name="thinking"), AnswerField(name="content", open="<a>", close="</a>")]
    )
    assert compiled(odd, with_tools=False).rest.kind is Kind.REASONING


def test_fields_of_other_names_stay_in_the_text():
    odd = AnswerFormat(
        fields=[AnswerField(name="citations", open="<c>", close="</c>"), AnswerField(name="content")]
    )
    assert compiled(odd, with_tools=True).parts == ()


def test_a_format_is_made_ready_once():
    assert compiled(answer_format("hermes"), with_tools=True) is compiled(
        answer_format("hermes"), with_tools=True
    )
