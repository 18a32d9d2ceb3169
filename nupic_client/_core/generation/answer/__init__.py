"""Answers in parts: text, reasoning and tool calls, read while they arrive."""

from __future__ import annotations

from nupic_client._core.generation.answer.calls import AnswerPart
from nupic_client._core.generation.answer.parser import AnswerParser

__all__ = ["AnswerParser", "AnswerPart"]
