"""What the text must be, said in the simplest way: on whole values, without state."""

from __future__ import annotations


def until_stop(text: str, stops) -> tuple[str, str | None]:
    """Read letter by letter: the first stop string to be complete ends the text, the longest of several at one place."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


def explained(error: BaseException) -> None:
    """An error must say something, and not too much."""
    assert 0 < len(str(error)) < 100_000


def whole(pieces: list[bytes], *, cumulative: bool | None) -> bytes:
    """Return the bytes of an answer whose pieces are new text, the whole text so far, or tell by themselves."""
    pieces = [piece for piece in pieces if piece]
    if cumulative is None:
        cumulative = _looks_cumulative(pieces)
    return b"".join(pieces) if not cumulative else pieces[-1] if pieces else b""


def _looks_cumulative(pieces: list[bytes]) -> bool:
    """The documented rule: the second begins with the first and the third with the second, and the first has a word."""
    if len(pieces) < 2 or not _grows(pieces[0], pieces[1]):
        return False
    if not any(map(str.isalnum, pieces[0].decode(errors="ignore"))):
        return False
    return len(pieces) == 2 or _grows(pieces[1], pieces[2])


def _grows(one: bytes, other: bytes) -> bool:
    return len(other) > len(one) and other.startswith(one)


def without_prompt(text: str, prompt: str) -> str:
    return text.removeprefix(prompt)
