"""What servers say of a prompt that is too long for the model, and the numbers in it.

The texts are those of this package's embedded server, vLLM, TensorRT-LLM (engine, LLM API), llama.cpp, SGLang, TGI and
OpenAI's API, which many servers repeat.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["PATTERN", "figures"]

PATTERN = (
    r"(?i:maximum (context|model|prompt) length (is|of)"
    r"|longer than the (maximum )?(model|context|model's context|model's maximum context) length"
    r"|exceed(s|ed)? (the |this |its )?(model's |server's )?(available |maximum |max )?context[ _](size|length|window)"
    r"|context[ _](size|length|window)[ _](has been |is |was )?exceeded|exceed_context_size"
    r"|greater than the context (length|size|window)"
    r"|length:? \(?\d+( tokens)?\)? exceeds (the )?(maximum (allowed )?input|maximum allowed) length"
    r"|should not exceed max_(seq_len|num_tokens|input_len)"
    r"|prompt \(\d+ tokens\) is too long"
    r"|prompt is too long: \d+ tokens"
    r"|\(\d+ tokens\) is too large to process|input is too large to process"
    r"|too large for model with \d+ maximum context"
    r"|`inputs`( tokens \+ `max_new_tokens`)? must (be <=|have less than)"
    r"|but the context of this server holds|cannot fit: the context of this server"
    r"|tokens but this model takes at most)"
)
"""A regular expression for all of them."""

_NUMBER = r"(\d[\d,]*)(?:\.\d+)?"
_SUMS = (
    re.compile(r"sum of .*?(?=should not exceed)", re.DOTALL),
    re.compile(r"Given: .*", re.DOTALL),
)
"""Parts of texts whose numbers together are the tokens of the request."""
_REQUESTED = tuple(
    re.compile(pattern.replace("#", _NUMBER), re.IGNORECASE)
    for pattern in (
        r"total of (?:at least )?#",
        r"\(length #\)",
        r"\(# tokens\)",
        r"(?:prompt|input) length:? \(?#",
        r"requested (?:about )?# tokens",
        r"resulted in # tokens",
        r"(?:has|contains|have) (?:at least )?# (?:input )?tokens",
        r"too long: # tokens",
        r"and your request has #",
    )
)
_LIMIT = tuple(
    re.compile(pattern.replace("#", _NUMBER), re.IGNORECASE)
    for pattern in (
        r"(?:context|model|prompt) length (?:is|of) #",
        r"model's context length \(#",
        r"with # maximum context",
        r"maximum (?:allowed )?input length (?:of )?\(?#",
        r"maximum allowed length \(?#",
        r"context (?:size|length|window) \(?#",
        r"exceed max_\w+ \(#",
        r"context of this server holds #",
        r"takes at most #",
        r"must (?:be <=|have less than) #",
        r"exceeds limit of #",
        r"> #",
        r"batch size: #",
    )
)


def figures(text: str) -> tuple[int | None, int | None]:
    """Return the most tokens that are possible and those of the request, as far as a text says so.

    Args:
        text: one that `PATTERN` matches.
    """
    return _first(_LIMIT, text), _requested(text)


def _requested(text: str) -> int | None:
    for pattern in _SUMS:
        part = pattern.search(text)
        if part is not None:
            found = [_int(number) for number in re.findall(r"(?<![\w.])\d[\d,]*", part[0])]
            return sum(found) if found else None
    return _first(_REQUESTED, text)


def _first(patterns: Iterable[re.Pattern[str]], text: str) -> int | None:
    for pattern in patterns:
        match = pattern.search(text)
        if match is not None:
            return _int(match[1])
    return None


def _int(digits: str) -> int:
    return int(digits.replace(",", "")[:18])
