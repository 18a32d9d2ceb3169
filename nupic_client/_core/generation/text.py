"""Filters for text that arrives in chunks: UTF-8, cumulative text, stop strings, the echoed prompt, token ids.

Laws: the text does not depend on how its bytes were split; a character is never torn apart; nothing is lost.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

__all__ = ["CumulativeText", "PromptRemover", "StopScanner", "TokenJoiner", "Utf8Joiner"]


class Utf8Joiner:
    """Decode UTF-8 that arrives in chunks split anywhere.

    Bytes that are not UTF-8 become U+FFFD, as if the whole were decoded at once: an answer must not be lost because the
    model stopped at ``max_tokens`` in the middle of a character.
    """

    __slots__ = ("_decoder", "_holds")

    def __init__(self) -> None:
        # Created on demand: hardly any answer needs it.
        self._decoder: codecs.IncrementalDecoder | None = None
        self._holds = False

    def feed(self, data: bytes) -> str:
        """Return the characters that are complete by now."""
        if not self._holds:
            try:
                return data.decode()  # the usual case
            except UnicodeDecodeError:
                pass
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = self._decoder.decode(data)
        self._holds = bool(self._decoder.getstate()[0])
        return text

    def flush(self) -> str:
        """Return U+FFFD for an unfinished character at the end, else nothing."""
        self._holds = False
        return "" if self._decoder is None else self._decoder.decode(b"", final=True)


class StopScanner:
    """Find stop strings in a text that arrives in chunks.

    The text ends where, reading letter by letter, the first stop string is complete (the longest of those complete at
    the same place). What could be the beginning of a stop string is held back until that is decided.
    """

    __slots__ = ("_held", "_starts", "_stops", "matched")

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stops)
        self._starts = frozenset(stop[0] for stop in self._stops)
        self._held = ""
        self.matched: str | None = None
        """The stop string that ended the text, or None."""

    def feed(self, text: str) -> str:
        """Return the text that is certainly before any stop string; `matched` is set if one was found."""
        text = self._held + text
        if self._starts.isdisjoint(text):
            self._held = ""
            return text
        ends = [(start + len(stop), start, stop) for stop in self._stops if (start := text.find(stop)) >= 0]
        if ends:
            _, start, self.matched = min(ends)
            self._held = ""
            return text[:start]
        keep = self._longest_beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return the text that was held back: without further text it is no stop string."""
        held, self._held = self._held, ""
        return held

    def _longest_beginning(self, text: str) -> int:
        """Return the length of the longest end of the text that begins a stop string."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest


class CumulativeText:
    """Turn chunks that may each hold the whole text so far into new text. Works on bytes, before they are decoded.

    Some backends send the text so far with every response, others only what is new, and a plain model's signature does
    not tell. With ``cumulative=None`` the chunks decide. As long as each chunk begins with the one before, all but the
    first are held back: they could be either. A chunk that does not shows that they are new text, and then all of them
    are given. Once a text of 32 bytes was repeated they are cumulative. So are those of an answer that ends before. Only
    chunks that contain a letter or a digit count, because runs of spaces or dashes grow in ordinary text too.
    """

    __slots__ = ("_cumulative", "_held", "_seen", "_tail")

    def __init__(self, *, cumulative: bool | None) -> None:
        self._cumulative = cumulative
        self._seen = b""
        self._held: list[bytes] = []
        self._tail = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what is new in this chunk.

        Raises:
            ValueError: the chunks are cumulative and this one does not continue the text so far.
        """
        if self._cumulative is False or not chunk:
            return chunk
        if self._cumulative:
            return self._growth(chunk)
        if not self._seen:
            self._seen = chunk
            return chunk
        before = self._held[-1] if self._held else self._seen
        if len(chunk) > len(before) and chunk.startswith(before) and _has_word(self._seen):
            if not self._held or len(before) < _PROOF:
                self._held.append(chunk)
                return b""
            self._cumulative = True
            self._held = []
            return self._growth(chunk)
        self._cumulative = False
        held, self._held = self._held, []
        return b"".join((*held, chunk))

    @property
    def decided_delta(self) -> bool:
        """Whether the chunks are known to hold only what is new: `feed` gives them back as they are from now on."""
        return self._cumulative is False

    def flush(self) -> bytes:
        """Return what is still held back at the end of the answer."""
        held, self._held = self._held, []
        tail, self._tail = self._tail, b""
        return held[-1][len(self._seen) :] if held else tail

    def _growth(self, chunk: bytes) -> bytes:
        # A detokeniser that renders an unfinished character as U+FFFD replaces it in a later chunk: wait for that one.
        whole = chunk
        while whole.endswith(_REPLACEMENT) and len(whole) - len(_REPLACEMENT) >= len(self._seen):
            whole = whole[: -len(_REPLACEMENT)]
        if not whole.startswith(self._seen):
            raise ValueError(
                "a response does not continue the text before it, although the model sends the whole text"
            )
        new = whole[len(self._seen) :]
        self._seen = whole
        self._tail = chunk[len(whole) :]
        return new


_REPLACEMENT = "\ufffd".encode()
_PROOF = 32
"""Bytes: new text that is as long and begins with all of the text before it does not occur."""


def _has_word(data: bytes) -> bool:
    return any(map(str.isalnum, data.decode(errors="ignore")))


class PromptRemover:
    """Remove the prompt from the beginning of a text, if the whole of it is there.

    Text that may be the prompt is held back until that is decided; after that, text passes unchanged.

    Args:
        prompt: the text may begin with it.
    """

    __slots__ = ("_decided", "_held", "_prompt")

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._held = ""
        self._decided = not prompt

    def feed(self, text: str) -> str:
        """Return the text that is certainly not the prompt."""
        if self._decided:
            return text
        self._held += text
        if len(self._held) < len(self._prompt) and self._prompt.startswith(self._held):
            return ""
        self._decided = True
        return self.flush().removeprefix(self._prompt)

    def flush(self) -> str:
        """Return the text that was held back: without further text it is not the whole prompt."""
        held, self._held = self._held, ""
        return held


class TokenJoiner:
    """Turn token ids that arrive in chunks into text, without tearing characters apart.

    A token may be a part of a character, and a tokenizer shows that as U+FFFD at the end: all tokens so far
    are decoded each time, and such an end waits for the tokens that complete it.

    Further tokens may also change the text before them. What was given out stays. Where only white space changed, because
    the tokenizer cleans up spaces, for example, the text goes on after the same letters. Otherwise nothing is given out
    until the text begins again with what was given out, or goes on from the change. Then, or at the end, the new tokens
    are decoded again, together with only so many of those before them that they add to the text.

    Args:
        decode: returns the text of token ids.
    """

    __slots__ = ("_changed", "_decode", "_given", "_given_text", "_ids", "_text")

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._text = ""
        """The text of the tokens when it last went on from the text before."""
        self._given = 0
        """The number of tokens whose text was given out to its last character."""
        self._given_text = 0
        """The length of their text in `_text`."""
        self._changed: str | None = None
        """The text of the tokens so far where it contradicts that, else None."""

    def feed(self, ids: Sequence[int]) -> str:
        """Return the text that the tokens complete; -1 is padding, not a token."""
        new = [token for token in ids if token >= 0]
        if not new:
            return ""
        self._ids += new
        try:
            whole = self._decode(self._ids)
        except BaseException:
            del self._ids[-len(new) :]  # so that flush() still returns the text of the tokens before
            raise
        return self._growth(whole)

    def flush(self) -> str:
        """Return the text of the tokens at the end that make no complete character."""
        return self._growth(self._decode(self._ids), ended=True) if self._ids else ""

    def _growth(self, decoded: str, *, ended: bool = False) -> str:
        whole = decoded if ended else decoded.rstrip("\ufffd")
        complete = len(whole) == len(decoded)
        if whole.startswith(self._text):
            new = whole[len(self._text) :]
        elif (end := _end_of(self._text, whole)) is not None:
            new = whole[end:]
        elif ended or (complete and self._changed is not None and whole.startswith(self._changed)):
            new = self._text_of_new_tokens()
        else:
            # A part of the text that is missing may come back with the next tokens: that is no change to go on from.
            self._changed = None if self._text.startswith(whole) else whole
            return ""
        self._text, self._changed = whole, None
        if complete:
            self._given, self._given_text = len(self._ids), len(whole)
        return new

    def _text_of_new_tokens(self) -> str:
        """Return the text of the tokens that was not given out yet."""
        new = ""
        for context in range(min(self._given, _CONTEXT_TOKENS), -1, -1):
            start = self._given - context
            try:
                before = self._decode(self._ids[start : self._given]) if context else ""
                after = self._decode(self._ids[start:])
            except Exception:  # noqa: BLE001, S112 - whatever the caller's tokenizer raises for a part of the tokens
                continue
            if after.startswith(before):
                new = after[len(before) :]
                break
        # The beginning of a token that was not complete may have been given out.
        pairs = zip(new, self._text[self._given_text :], strict=False)
        return new[sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) :]


def _end_of(text: str, whole: str) -> int | None:
    """Return where a text ends in one that begins with it but for white space; None where it does not.

    Spaces that the text has somewhere else, such as before a full stop and not after it, belong to it.
    """
    letters = "".join(text.split())
    matched = end = 0
    while matched < len(letters) and end < len(whole):
        if not whole[end].isspace():
            if whole[end] != letters[matched]:
                return None
            matched += 1
        end += 1
    if matched < len(letters):
        return None
    longest = end + (len(text) - len(letters)) - (end - matched)
    while end < min(longest, len(whole)) and whole[end].isspace():
        end += 1
    return end


_CONTEXT_TOKENS = 4
"""A tokenizer joins a token to the text before it, as with the space between words, by no more of the tokens than these."""
