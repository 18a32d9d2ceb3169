"""Text that needs work before it is an answer: the repeated prompt, and token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["PromptRemover", "TokenJoiner"]


class PromptRemover:
    """Remove the prompt from the beginning of a text, if the whole of it is there.

    What could be the prompt is held back until that is decided; then the rest of the text passes untouched.

    Args:
        prompt: what the text may begin with.
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
        """Return what was held back: no more text comes, so it is not the whole prompt."""
        held, self._held = self._held, ""
        return held


class TokenJoiner:
    """Turn token ids that arrive in pieces into text, without tearing characters apart.

    A token may be a part of a character, and a tokenizer shows that as U+FFFD at the end: all tokens so far
    are decoded each time, and such an end waits for the tokens that complete it.

    Args:
        decode: returns the text of token ids.
    """

    __slots__ = ("_decode", "_ids", "_length")

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._length = 0

    def feed(self, ids: Sequence[int]) -> str:
        """Return the text that the tokens complete; -1 is padding, not a token."""
        new = [token for token in ids if token >= 0]
        if not new:
            return ""
        self._ids += new
        try:
            whole = self._decode(self._ids)
        except BaseException:
            del self._ids[-len(new) :]  # the text of those before them can still be asked for
            raise
        return self._growth(whole.rstrip("\ufffd"))

    def flush(self) -> str:
        """Return what an unfinished character at the end stands for."""
        return self._growth(self._decode(self._ids)) if self._ids else ""

    def _growth(self, whole: str) -> str:
        new = whole[self._length :]
        self._length = max(self._length, len(whole))
        return new
