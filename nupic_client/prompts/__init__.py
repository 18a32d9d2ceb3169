"""Prompt formatters: conversations written the way each family of models was trained to read them.

::

    from nupic_client.prompts import formatter_for

    prompt = formatter_for("llama3")([user("Why is the sky blue?")], system="Be brief.")

A family is a value (`nupic_client.prompts.family.Family`) that one renderer reads; the values stand in
modules by the lineage of their formats. Models of no known family bring their own template:
`PromptFormatter.from_jinja` and `PromptFormatter.from_tokenizer_config`.
"""

from __future__ import annotations

from nupic_client._public import publish
from nupic_client.prompts.formatter import PromptFormatter
from nupic_client.prompts.registry import ALIASES, FAMILIES, formatter_for, guess_family

__all__ = ["ALIASES", "FAMILIES", "PromptFormatter", "formatter_for", "guess_family"]


publish(__name__)
