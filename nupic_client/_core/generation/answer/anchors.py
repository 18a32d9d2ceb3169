"""Anchors: the strings and patterns at which a part of an answer begins or ends, in a text that is still arriving."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nupic_client._core.generation.answer.partial_patterns import partial_pattern

__all__ = ["WINDOW", "Anchor", "Found", "Literals", "Pattern"]

WINDOW = 512
"""The length of the longest match of a pattern."""
_LAZY = re.compile(r"[*+}]\?")


@dataclass(frozen=True, slots=True)
class Found:
    """An anchor in a text: from where to where, with the named groups."""

    start: int
    end: int
    groups: tuple[tuple[str, str], ...] = ()


class Anchor:
    """One place in a text to look for."""

    __slots__ = ()

    def find(self, text: str, position: int, *, final: bool) -> tuple[Found | None, int]:
        """Find the first one that is complete, and the place from where on the text may be the beginning of another.

        Args:
            text: the text that has arrived.
            position: where to begin.
            final: whether no more text will follow.

        Returns:
            What was found, and that place: the length of the text where there is none.
        """
        raise NotImplementedError


class Literals(Anchor):
    """Strings, the longest first where several begin at one place."""

    __slots__ = ("_pattern", "_starts", "_strings", "longest")

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(sorted(strings, key=len, reverse=True))
        self._starts = frozenset(string[0] for string in strings)
        self._pattern = re.compile("|".join(map(re.escape, self._strings)))
        self.longest = len(self._strings[0])

    def find(self, text: str, position: int, *, final: bool) -> tuple[Found | None, int]:
        """See `Anchor.find`."""
        match = self._pattern.search(text, position)
        found = None if match is None else Found(match.start(), match.end())
        return found, len(text) if final else self._beginning(text, position)

    def _beginning(self, text: str, position: int) -> int:
        for start in range(max(position, len(text) - self.longest + 1), len(text)):
            if text[start] in self._starts:
                tail = text[start:]
                if any(len(string) > len(tail) and string.startswith(tail) for string in self._strings):
                    return start
        return len(text)


class Pattern(Anchor):
    """A regular expression."""

    __slots__ = ("_is_lazy", "_partial", "_pattern")

    def __init__(self, source: str) -> None:
        self._pattern = re.compile(source, re.DOTALL)
        partial = partial_pattern(source)
        self._partial = None if partial is None else re.compile(partial, re.DOTALL)
        self._is_lazy = _LAZY.search(source) is not None

    def find(self, text: str, position: int, *, final: bool) -> tuple[Found | None, int]:
        """See `Anchor.find`."""
        match = self._pattern.search(text, position)
        while match is not None and match.end() - match.start() > WINDOW:
            match = self._pattern.search(text, match.start() + 1)
        found = None if match is None else _found(match)
        if final:
            return found, len(text)
        if self._partial is None:
            return None, position  # nothing is certain before the end
        hold = self._beginning(self._partial, text, position)
        if found is not None and self._is_lazy and hold >= found.start and found.end < len(text):
            # It took the first end that came; more text cannot make it longer.
            return found, self._beginning(self._partial, text, max(found.end, found.start + 1))
        if found is not None and found.end == len(text):  # more text may make it longer
            hold = min(hold, found.start)
        return found, hold

    def _beginning(self, partial: re.Pattern[str], text: str, position: int) -> int:
        begun = partial.search(text, max(position, len(text) - WINDOW))
        return len(text) if begun is None else begun.start()

    def at(self, text: str, position: int, *, final: bool) -> tuple[Found | None, bool]:
        """Look at one place only.

        Returns:
            What was found there, and whether that is certain.
        """
        match = self._pattern.match(text, position)
        if not final and len(text) - position <= WINDOW:
            at_end = match is not None and match.end() == len(text)
            if at_end or self._partial is None or self._partial.match(text, position):
                return None, False
        if match is None or match.end() - position > WINDOW:
            return None, True
        return _found(match), True


def _found(match: re.Match[str]) -> Found:
    groups = tuple((name, value) for name, value in match.groupdict().items() if value is not None)
    return Found(match.start(), match.end(), groups)
