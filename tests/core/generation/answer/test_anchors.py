"""Anchors in a text that is still arriving: what is complete, and from where on more text decides."""

from __future__ import annotations

import pytest

from nupic_client._core.generation.answer.anchors import WINDOW, Found, Literals, Pattern


@pytest.mark.parametrize(
    ("text", "found", "hold"),
    [
        ("plain", None, 5),
        ("a <th", None, 2),
        ("a <b", None, 4),
        ("a <think> b", Found(2, 9), 11),
        ("<think></th", Found(0, 7), 7),
        ("END", Found(0, 3), 0),  # it may be ENDX
        ("ENDX", Found(0, 4), 4),
    ],
)
def test_literals(text, found, hold):
    assert Literals(("<think>", "</think>", "END", "ENDX")).find(text, 0, final=False) == (found, hold)
    assert Literals(("<think>", "</think>", "END", "ENDX")).find(text, 0, final=True) == (found, len(text))


def test_a_pattern_waits_for_what_could_make_it_longer():
    anchor = Pattern(r"<f=(?P<name>\w+)")
    assert anchor.find("a <f=b", 0, final=False) == (Found(2, 6, (("name", "b"),)), 2)
    assert anchor.find("a <f=b ", 0, final=False) == (Found(2, 6, (("name", "b"),)), 7)
    assert anchor.find("a <f", 0, final=False) == (None, 2)
    assert anchor.find("a <f", 0, final=True) == (None, 4)


def test_a_match_has_a_longest_length():
    anchor = Pattern(r"<a.*?>")
    assert anchor.find(f"<a{'x' * WINDOW}>", 0, final=True)[0] is None
    assert anchor.find(f"<a{'x' * WINDOW}><ab>", 0, final=True)[0] == Found(WINDOW + 3, WINDOW + 7)
    assert anchor.find(f"<a{'x' * WINDOW}", 0, final=False)[1] == WINDOW + 2


def test_a_pattern_that_takes_the_first_end_does_not_wait_for_a_second():
    anchor = Pattern(r"<a.*?>")
    assert anchor.find("x <a b> y", 0, final=False) == (Found(2, 7), 9)
    assert anchor.find("x <a b> y <a", 0, final=False) == (Found(2, 7), 10)
    assert anchor.find("<a <a b>", 0, final=False) == (Found(0, 8), 0)


def test_a_pattern_that_is_not_understood_waits_for_the_end():
    anchor = Pattern(r"(?i)<a>")
    assert anchor.find("x <A>y", 0, final=False) == (None, 0)
    assert anchor.find("x <A>y", 0, final=True) == (Found(2, 5), 6)


def test_one_place():
    anchor = Pattern(r"```|```<end>")
    assert anchor.at("```", 0, final=False) == (None, False)
    assert anchor.at("```<e", 0, final=False) == (None, False)
    assert anchor.at("```<x", 0, final=False) == (Found(0, 3), True)
    assert anchor.at("no", 0, final=False) == (None, True)
    assert anchor.at("```", 0, final=True) == (Found(0, 3), True)
