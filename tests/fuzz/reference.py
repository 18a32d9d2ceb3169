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


def whole(chunks: list[bytes], *, cumulative: bool | None) -> bytes:
    """Return the bytes of an answer whose chunks are new text, the whole text so far, or tell by themselves."""
    chunks = [chunk for chunk in chunks if chunk]
    if cumulative is None:
        cumulative = _looks_cumulative(chunks)
    return b"".join(chunks) if not cumulative else chunks[-1] if chunks else b""


def _looks_cumulative(chunks: list[bytes]) -> bool:
    """The documented rule: each begins with the one before, until one of 32 bytes was repeated, and the first has a word."""
    if len(chunks) < 2 or not any(map(str.isalnum, chunks[0].decode(errors="ignore"))):
        return False
    proof = next((index for index, chunk in enumerate(chunks) if index and len(chunk) >= 32), len(chunks))
    return all(map(_grows, chunks[: proof + 1], chunks[1 : proof + 2]))


def _grows(one: bytes, other: bytes) -> bool:
    return len(other) > len(one) and other.startswith(one)


def without_prompt(text: str, prompt: str) -> str:
    return text.removeprefix(prompt)
