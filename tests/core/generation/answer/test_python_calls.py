"""Calls written as in Python: values as JSON, and the end of a list that is still arriving."""

from __future__ import annotations

import json

import pytest

from nupic_client._core.generation.answer.python_calls import CallListEnd, read_calls


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[f()]", [("f", {})]),
        (' [ f ( a = 1 , b = "x" ) , g() ] ', [("f", {"a": 1, "b": "x"}), ("g", {})]),
        ("f(a='x')\ng()", [("f", {"a": "x"}), ("g", {})]),
        ("[a.b-c(x=[1, -2.5e3, True, None, false, null])]", [("a.b-c", {"x": [1, -2500.0, True, None, False, None]})]),
        ("[f(a={'k': {'l': []}}, b=(1, 2,),)]", [("f", {"a": {"k": {"l": []}}, "b": [1, 2]})]),
        (r"""[f(a='it\'s', b="\u00e9\n\\", c='\ud83d\ude00', d='\d\x41')]""",
         [("f", {"a": "it's", "b": "é\n\\", "c": "😀", "d": "\\dA"})]),
        ("[f(month=07, n=+3)]", [("f", {"month": 7, "n": 3})]),
        ("[f(a='two\nlines')]", [("f", {"a": "two\nlines"})]),
    ],
)  # fmt: skip
def test_lists(text, calls):
    assert [(name, json.loads(arguments)) for name, arguments in read_calls(text)] == calls


@pytest.mark.parametrize(
    "text",
    ["[f(1)]", "[f(a=1", "[f(a=1)] x", "f", "[f(a=b)]", "[f(a=1, a=2)]", "[f(a='x]", "[f(a=1 b=2)]", "[f(a={1: 2})]", "[1]",
     "[f(a='\\ud800')]", "[f(a=1x)]", "[f(a={'k': 1, 'k': 2})]", "[f(a=b'z')]"],
)  # fmt: skip
def test_no_lists(text):
    assert read_calls(text) is None


def test_an_empty_list_has_no_calls():
    assert read_calls("[]") == read_calls("") == []


def test_depth():
    assert read_calls(f"[f(a={'[' * 60}{']' * 60})]")
    assert read_calls(f"[f(a={'[' * 5000}{']' * 5000})]") is None


@pytest.mark.parametrize("text", ["[f(a=']')]", '[f(a="\\"]")]', "[f(a={'k': [1]})]", "[]"])
def test_the_end_of_a_list(text):
    for size in (1, 3, 100):
        scanner, held, read, ended = CallListEnd(), "", 0, None
        whole = f"{text} rest"
        for place in range(0, len(whole), size):
            if ended is None:
                held += whole[place : place + size]
                ended, end = scanner.feed(held, 0)
                held = held[end:]
                read += end
        assert (ended, read) == (True, len(text))


@pytest.mark.parametrize("text", ["[f(]", "[f)", "]", "[" * 100])
def test_wrong_brackets(text):
    assert CallListEnd().feed(text, 0)[0] is False
