"""Targets: text out of chunks. The result does not depend on how the text was cut, and nothing is lost or invented."""

from __future__ import annotations

from nupic_client._core.generation.text import (
    CumulativeText,
    PromptRemover,
    StopScanner,
    TokenJoiner,
    Utf8Joiner,
)

from .choices import Choices
from .reference import until_stop, whole, without_prompt


def utf8_split(data: bytes) -> None:
    """Any bytes in any chunks: the same text as decoding the whole, and no U+FFFD that is not in that."""
    choices = Choices(data)
    chunks = choices.cuts(choices.block())
    joiner = Utf8Joiner()
    given = [joiner.feed(chunk) for chunk in chunks]
    text = "".join(given) + joiner.flush()
    assert text == b"".join(chunks).decode(errors="replace")
    assert joiner.flush() == ""


def stop_scanner(data: bytes) -> None:
    """Any text in any chunks: cut where reading letter by letter cuts it; what is given is never taken back."""
    choices = Choices(data)
    stops = [stop for stop in (choices.text() for _ in range(1 + choices.below(4))) if stop] or ["\n"]
    text = choices.block().decode(errors="replace")
    scanner = StopScanner(stops)
    given = ""
    for chunk in _cut(text, choices):
        given += scanner.feed(chunk)
        if scanner.matched is not None:
            break
        held = len(text) - len(given)
        assert text.startswith(given)
        assert held >= 0
    else:
        given += scanner.flush()
    assert (given, scanner.matched) == until_stop(text, stops)


def _cut(text: str, choices: Choices) -> list[str]:
    places = sorted(choices.number(2) % (len(text) + 1) for _ in range(choices.below(12)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def cumulative_text(data: bytes) -> None:
    """Chunks that tell by themselves whether they are new text: the documented rule, whatever they are."""
    choices = Choices(data)
    first = choices.bytes(choices.below(24))
    chunks = [first]
    for _ in range(choices.below(8)):
        before = choices.pick((b"", first, chunks[-1]))
        chunks.append(before + choices.bytes(choices.below(8)))
    detector = CumulativeText(cumulative=None)
    given = b""
    try:
        for chunk in chunks:
            given += detector.feed(chunk)
    except ValueError:  # cumulative, and then it was not: the documented error
        assert whole(chunks, cumulative=None) == next(chunk for chunk in reversed(chunks) if chunk)
        return
    given += detector.flush()
    expected = whole(chunks, cumulative=None)
    # A whole text that repeats or takes back a U+FFFD at its end was given in an earlier, longer chunk.
    assert given.startswith(expected) or expected.startswith(given) or given == expected
    assert given.rstrip(b"\xef\xbf\xbd") == expected.rstrip(b"\xef\xbf\xbd")


def prompt_remover(data: bytes) -> None:
    """The prompt is removed if the whole of it is at the beginning, and nothing else is."""
    choices = Choices(data)
    prompt = choices.text()
    text = (prompt if choices.flag() else prompt[: choices.number()]) + choices.text()
    remover = PromptRemover(prompt)
    given = "".join([remover.feed(chunk) for chunk in _cut(text, choices)]) + remover.flush()
    assert given == without_prompt(text, prompt)


def decode_ids(ids) -> str:
    """A tokenizer whose tokens are bytes, so that characters take several."""
    return bytes(token & 0xFF for token in ids).decode(errors="replace")


def token_joiner(data: bytes) -> None:
    """Token ids in any chunks: the text of all of them, given once."""
    choices = Choices(data)
    joiner = TokenJoiner(decode_ids)
    ids: list[int] = []
    given = ""
    while choices.more:
        chunk = [token - 1 for token in choices.bytes(choices.below(6) + 1)]  # -1 is padding
        ids += [token for token in chunk if token >= 0]
        given += joiner.feed(chunk)
        assert decode_ids(ids).startswith(given)
    assert given + joiner.flush() == decode_ids(ids)
