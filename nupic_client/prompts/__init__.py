"""Prompt formatters: conversations written the way each family of models was trained to read them.

::

    from nupic_client.prompts import formatter_for

    prompt = formatter_for("llama3")([user("Why is the sky blue?")], system="Be brief.")

A family is data (`nupic_client.prompts.family.Family`), read by one renderer; families are grouped into modules by the
origin of their formats. Models of other families have their own template:
`PromptFormatter.from_jinja` and `PromptFormatter.from_tokenizer_config`. How answers are read, their reasoning
and tool calls, is an `AnswerFormat`.
"""

from __future__ import annotations

from nupic_client._public import publish
from nupic_client.prompts.answer import AnswerField, AnswerFormat
from nupic_client.prompts.answer_formats import ANSWER_FORMATS, answer_format
from nupic_client.prompts.formatter import PromptFormatter
from nupic_client.prompts.registry import ALIASES, FAMILIES, formatter_for, guess_family

__all__ = [
    "ALIASES",
    "ANSWER_FORMATS",
    "FAMILIES",
    "AnswerField",
    "AnswerFormat",
    "PromptFormatter",
    "answer_format",
    "formatter_for",
    "guess_family",
]


publish(__name__)
