"""Patterns of beginnings: every beginning of a match is one at the end of a text, and nothing else is for long."""

from __future__ import annotations

import re

import pytest

from nupic_client._core.generation.answer.partial_patterns import partial_pattern
from nupic_client.prompts import ANSWER_FORMATS

MATCHES = {
    r"<tool_call>\s*<function=(?P<name>\w+)>": "<tool_call>\n <function=get_weather>",
    r"<\|channel\|>commentary to=f\.(?P<name>\w+).*?<\|message\|>": "<|channel|>commentary to=f.g a<|message|>",
    r"(?:<\|message\|>)?[^<]*<\|kind\|>": "<|message|>bob<|kind|>",
    r"(?:^|<think>\s*)": "<think>  ",
    r"\n?</response>": "\n</response>",
    r'(?=\{\s*"name"\s*:)\{': '{ "name" :',
    r"a{2,3}b": "aaab",
    r"(?:ab|a(?:c|d)+)e": "acdce",
    r"[\]x]+y": "]x]y",
    r"a(?!b)c\b": "ac",
}


@pytest.mark.parametrize("source", MATCHES)
def test_every_beginning_is_one(source):
    text = MATCHES[source]
    partial = re.compile(partial_pattern(source), re.DOTALL)
    for length in range(len(text)):
        found = partial.search(f"Before. {text[:length]}")
        assert found is not None
        assert found.start() <= len("Before. ") + length
        assert partial.match(text[:length])


@pytest.mark.parametrize(
    "source", [source for source in MATCHES if source.startswith("<") and ".*?" not in source]
)
def test_another_text_begins_only_at_its_end(source):
    partial = re.compile(partial_pattern(source), re.DOTALL)
    for text in ("Hello", "<tool", "<other> text", f"{MATCHES[source]} and more"):
        whole = f"{text}."
        assert partial.search(whole).start() == len(whole)


@pytest.mark.parametrize("source", [r"(a)\1", r"(?<=a)b", r"(?i)a", r"(?P<a>x)(?P=a)", "(" * 60 + ")" * 60])
def test_what_is_not_understood_has_no_pattern(source):
    assert partial_pattern(source) is None


def test_the_patterns_of_the_families_are_understood():
    for answer in ANSWER_FORMATS.values():
        for field in answer.fields:
            for source in (field.open_pattern, field.close_pattern):
                assert source is None or partial_pattern(source)
