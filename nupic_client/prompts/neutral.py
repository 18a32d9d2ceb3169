"""Control tokens in a model's own words: they stay readable and are tokens no more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["neutralised"]

_PASSES = 8
_UNBREAKABLE = "\N{REPLACEMENT CHARACTER}"


def neutralised(text: str, tokens: Iterable[str], shape: re.Pattern[str] | None = None) -> str:
    """Return a text with a space inside of each control token, which is then no token for a tokenizer.

    A space, because some tokenizers drop characters without width, and none drops a single space.

    Args:
        text: the words of a model.
        tokens: the control tokens and role markers of its family.
        shape: a pattern of more of them.

    Example:
        >>> neutralised("Write <|user|> or [INST].", ["<|user|>", "[INST]"])
        'Write <| user |> or [ INST ].'
    """
    literal = [re.escape(token) for token in sorted(tokens, key=len, reverse=True)]
    pattern = re.compile("|".join([*literal, *([] if shape is None else [shape.pattern])]))
    # Tokens may overlap, and what is left of them may be another one.
    for _ in range(_PASSES):
        before, text = text, pattern.sub(_broken, text)
        if text == before:
            return text
    return pattern.sub(_UNBREAKABLE, text)


def _broken(match: re.Match[str]) -> str:
    token = match[0]
    parts = re.fullmatch(r"(\W*)(.*?)(\W*)", token, re.DOTALL)
    front, word, back = parts.groups() if parts else ("", token, "")
    if front and word and not front[-1].isspace():
        front += " "
    if word and back and not back[0].isspace():
        back = f" {back}"
    broken = front + word + back
    if broken == token and len(token) > 1:
        broken = f"{token[0]} {token[1:]}"
    return _UNBREAKABLE if token in broken else broken
