"""Texts of models and servers for those who look at them: in a terminal, in a notebook, and figures as one line.

Whoever shows an answer shows what somebody else wrote: these functions make it harmless.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    _Place = tuple[int, int]

__all__ = ["HIDDEN", "printable", "printable_lines", "safe_markdown", "summary"]

HIDDEN = re.compile(
    "[\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What controls a terminal, turns the order of text around or does not show at all, besides the control codes of ASCII.

The joiners of emoji and of Indic and Persian text (U+200C, U+200D) are not among them.
"""
_CONTROL = re.compile(f"[\x00-\x1f]|{HIDDEN.pattern}")
_CONTROL_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f]|{HIDDEN.pattern}")

# Linear in the text, whatever it is: no two repetitions side by side match the same characters, so that none gives back.
_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}(?!`)|~{3,}(?!~))(?P<info>[^`\n]*)\n"
    r"(?P<code>.*?)(?:^[ \t]*(?P=fence)[`~]*[ \t]*(?:\n|\Z)|\Z)",
    re.MULTILINE | re.DOTALL,
)
_TICKS_OR_EMPTY_LINE = re.compile(r"(?P<ticks>`+)|\n[ \t]*\n")
_MATH = re.compile(r"\$[^$\n]+\$")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_IMAGE = re.compile(r"!(?=\[)")
_LINK = re.compile(r"(?P<before>\](?:\(|:)\s*)(?P<scheme>[A-Za-z\\][\w+.\\-]*):(?=\S)")
_LIVE = re.compile(f"{_TAG.pattern}|{_ENTITY.pattern}|{_IMAGE.pattern}|{_LINK.pattern}")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_SCHEMES = ("http", "https", "mailto")
"""Those that a link of a model may have: none of them runs anything."""


def printable(text: str) -> str:
    r"""Return a text with symbols in place of control characters, newlines included: those can control a terminal.

    Example:
        >>> printable("red: \x1b[31m")
        'red: ␛[31m'
    """
    return _CONTROL.sub(_picture, text)


def printable_lines(text: str) -> str:
    """Return a text with symbols in place of all control characters but newlines and tabs."""
    return _CONTROL_IN_LINES.sub(_picture, text)


def safe_markdown(text: str) -> str:
    """Return the Markdown of a model so that a notebook or a web page can render it as its own.

    Notebooks run the HTML in Markdown, and what a model wrote may come from the documents that it was given. Markdown stays
    as it is: headings, lists, tables, code, formulas. HTML is shown as text. An image becomes a link, because a browser
    fetches images without being asked, with whatever its address tells. Links go to web pages and mail only.

    Args:
        text: the text so far. A code block that has not ended yet is ended.

    Example:
        >>> safe_markdown("*bold* <script>alert(1)</script>")
        '*bold* &lt;script>alert(1)&lt;/script>'
    """
    # No part of this may depend on where a program that shows Markdown sees code or formulas: they differ. So what would be
    # live outside of code is written in entities inside of it, which are inert wherever they are.
    text = printable_lines(text.replace("\r\n", "\n"))
    parts = []
    end = 0
    for found in _FENCE.finditer(text):
        parts += [_prose(text[end : found.start()]), _block(found)]
        end = found.end()
    return "".join([*parts, _prose(text[end:])])


def _block(found: re.Match[str]) -> str:
    code, indent = found["code"], found["indent"]
    if _LIVE.search(found[0]):
        lines = [line.removeprefix(indent) for line in code.removesuffix("\n").split("\n")]
        return f"{indent}<pre><code>{'&#10;'.join(map(_inert, lines))}</code></pre>\n\n"
    body = code if code.endswith("\n") or not code else f"{code}\n"
    ended = (
        found[0]
        if _ends(found)
        else f"{indent}{found['fence']}{found['info']}\n{body}{indent}{found['fence']}\n"
    )
    return ended if ended.endswith("\n") else f"{ended}\n"


def _ends(found: re.Match[str]) -> bool:
    return found.end() > found.end("code")


def _prose(text: str) -> str:
    parts = []
    end = 0
    for opening, closing in _spans(text):
        code = text[opening[0] : closing[1]]
        if _LIVE.search(code):
            inside = text[opening[1] : closing[0]]
            code = f"<code>{_inert(inside.replace(chr(10), ' ').strip())}</code>"
        parts += [_plain(text[end : opening[0]]), code]
        end = closing[1]
    return "".join([*parts, _plain(text[end:])])


def _spans(text: str) -> Iterator[tuple[_Place, _Place]]:
    """Yield the places of the backticks around each span of code; a paragraph's end ends the search for the second."""
    runs: list[_Place] = []
    for found in _TICKS_OR_EMPTY_LINE.finditer(text):
        if found["ticks"]:
            runs.append(found.span())
        else:
            yield from _pairs(runs)
            runs = []
    yield from _pairs(runs)


def _pairs(runs: list[_Place]) -> Iterator[tuple[_Place, _Place]]:
    """Yield each run with the next one of its length, without a search: that would read a text of many lengths often."""
    following: list[int | None] = []
    later: dict[int, int] = {}
    for number, (start, end) in reversed([*enumerate(runs)]):
        following.append(later.get(end - start))
        later[end - start] = number
    following.reverse()
    number = 0
    while number < len(runs):
        partner = following[number]
        if partner is not None:
            yield runs[number], runs[partner]
        number = (number if partner is None else partner) + 1


def _plain(text: str) -> str:
    text = _ENTITY.sub("&amp;", text)
    text = _MATH.sub(
        lambda found: _TAG.sub("< ", found[0]), text
    )  # a space is no tag either, and formulas ignore it
    text = _TAG.sub("&lt;", text)
    text = _IMAGE.sub("&#33;", text)
    return _LINK.sub(_checked_link, text)


def _checked_link(found: re.Match[str]) -> str:
    allowed = found["scheme"].lower() in _SCHEMES
    return found[0] if allowed else f"{found['before']}#{found['scheme']}:"


def _inert(code: str) -> str:
    return _PUNCTUATION.sub(lambda found: f"&#{ord(found[0])};", code)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def summary(generation: Any) -> str:
    """Return the figures of a `Generation` as one readable line.

    Example:
        >>> summary(client.generate("Hello"))  # doctest: +SKIP
        'time to first token 0.12 s · 98.4 tokens/s · 57 tokens · stop'
    """
    timing = generation.timing
    tokens = generation.usage.output_tokens
    parts = []
    if timing.time_to_first_token is not None:
        parts.append(f"time to first token {timing.time_to_first_token:.2f} s")
    if tokens is None:
        rate, count, unit = timing.chunks_per_second, timing.chunks, "chunk"
    else:
        rate, count, unit = timing.tokens_per_second, tokens, "token"
    if rate is not None:
        parts.append(f"{rate:.1f} {unit}s/s")
    parts.append(f"{count} {unit}" if count == 1 else f"{count} {unit}s")
    if generation.finish_reason is not None:
        parts.append(str(generation.finish_reason))
    return " · ".join(parts)
