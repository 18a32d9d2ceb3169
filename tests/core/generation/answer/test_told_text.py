"""Text as it is told: without the blanks next to anchors, joined where the format says so, with calls that are none."""

from __future__ import annotations

import pytest

from nupic_client._core.generation.answer.compiled import Kind, Part
from nupic_client._core.generation.answer.told_text import MOST_BLANKS, ToldText
from nupic_client.prompts.answer import AnswerField
from nupic_client.results import ReasoningDelta


def a_part(name="content", kind=Kind.TEXT, join=None, *, strips=True):
    field = AnswerField(name=name, join=join, repeats=join is not None)
    return Part(field=field, kind=kind, open=None, close=None, at_start=False, strips=strips)


@pytest.fixture
def parts():
    return []


@pytest.fixture
def text(parts):
    return ToldText(parts)


def test_pieces_of_one_kind_become_one_part(text, parts):
    for kind in (Kind.TEXT, Kind.REASONING, Kind.TEXT):
        text.write(kind, "a")
        text.write(kind, "")
        text.write(kind, "b")
    assert parts == ["ab", ReasoningDelta("ab"), "ab"]
    assert text.reasoning == ["a", "b"]


def test_blanks_in_front_of_the_first_text_are_left_out(text, parts):
    text.begin(a_part())
    for piece in (" ", "\n", "a "):
        text.write(Kind.TEXT, piece)
    assert parts == ["a "]


def test_blanks_between_two_texts_stay(text, parts):
    text.write(Kind.TEXT, "a")
    text.begin(a_part())
    text.write(Kind.TEXT, " ")
    text.write(Kind.TEXT, "b")
    assert parts == ["a b"]


def test_blanks_that_nothing_follows_are_left_out(text, parts):
    text.write(Kind.TEXT, "a")
    text.begin(a_part())
    text.write(Kind.TEXT, " ")
    text.drop_blanks()
    text.write(Kind.TEXT, "b")
    assert parts == ["ab"]


def test_only_so_many_blanks_are_kept_back(text, parts):
    text.write(Kind.TEXT, "a")
    text.begin(a_part())
    text.write(Kind.TEXT, " " * (MOST_BLANKS + 9))
    text.write(Kind.TEXT, "b")
    assert parts == ["a" + " " * MOST_BLANKS + "b"]


def test_a_part_that_does_not_strip_keeps_its_blanks(text, parts):
    text.begin(a_part(strips=False))
    text.write(Kind.TEXT, " a")
    assert parts == [" a"]


def test_a_join_stands_between_two_parts_of_a_kind_only(text, parts):
    reasoning = a_part("thinking", Kind.REASONING, join="; ")
    text.begin(reasoning, joined=True)
    text.write(Kind.REASONING, "a")
    text.begin(reasoning, joined=True)
    text.write(Kind.REASONING, "b")
    assert parts == [ReasoningDelta("a; b")]


def test_the_source_of_a_call_that_is_none_is_text_and_noted(text, parts):
    text.spoil(None)
    text.write(Kind.TEXT, " {a")
    text.write(Kind.TEXT, "b} ")
    text.spoil_ends()
    text.write(Kind.TEXT, "c")
    text.spoil_ends()
    assert parts == [" {ab} c"]
    assert text.invalid == ["{ab}"]


def test_after_the_prompt_only_what_was_written_is_known(text):
    text.begin(a_part("thinking", Kind.REASONING))
    text.write(Kind.REASONING, "a")
    text.spoil(None)
    text.restart()
    assert (text.reasoning, text.invalid, text.spoilt) == ([], [], False)
    assert text.written == {Kind.TEXT: False, Kind.REASONING: True}
