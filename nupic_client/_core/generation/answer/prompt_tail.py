"""The end of a prompt that is the beginning of the answer, as where a template opens the reasoning."""

from __future__ import annotations

import re

from nupic_client._core.generation.answer.compiled import CompiledFormat, Kind
from nupic_client.prompts.answer import AnswerFormat

__all__ = ["prompt_tail"]


def prompt_tail(answer_format: AnswerFormat, ready: CompiledFormat, prompt: str) -> str:
    """Return the part of a prompt that belongs to the answer.

    Args:
        answer_format: the format of the answer.
        ready: the same, made ready.
        prompt: the prompt.

    Returns:
        The text behind the last place where the assistant's turn begins. In a prompt without such a place it is the anchor
        that opens the reasoning, if the prompt ends with one.
    """
    if not prompt:
        return ""
    end = max((_end_of(prompt, anchor) for anchor in answer_format.start_anchor), default=-1)
    if answer_format.start_anchor_pattern is not None:
        for match in re.finditer(answer_format.start_anchor_pattern, prompt, re.DOTALL):
            end = match.end()
    if end >= 0:
        return prompt[end:]
    bare = prompt.rstrip()
    for part in ready.parts:
        if part.kind is Kind.REASONING and part.field.open:
            opened = next((text for text in part.field.open if bare.endswith(text.rstrip())), None)
            if opened is not None:
                return prompt[len(bare) - len(opened.rstrip()) :]
    return ""


def _end_of(prompt: str, anchor: str) -> int:
    place = prompt.rfind(anchor)
    return place + len(anchor) if place >= 0 else -1
