"""The part of a prompt that belongs to the answer."""

from __future__ import annotations

import pytest

from nupic_client._core.generation.answer.compiled import compiled
from nupic_client._core.generation.answer.prompt_tail import prompt_tail
from nupic_client.prompts import AnswerField, AnswerFormat

FIELDS = (AnswerField(name="thinking", open="<think>", close="</think>"), AnswerField(name="content"))


@pytest.mark.parametrize(
    ("start", "prompt", "tail"),
    [
        ({"start_anchor": ("A:", "B:")}, "A: one B: two A: three", " three"),
        ({"start_anchor": ("A:",)}, "", ""),
        ({"start_anchor": ("A:",)}, "no turn <think>\n", "<think>\n"),
        ({"start_anchor": ("A:",)}, "no turn", ""),
        ({"start_anchor_pattern": r"<\d>"}, "<1> a <2> b", " b"),
        ({}, "some <think>", "<think>"),
    ],
)
def test_tails(start, prompt, tail):
    answer = AnswerFormat(fields=FIELDS, **start)
    assert prompt_tail(answer, compiled(answer, with_tools=False), prompt) == tail
