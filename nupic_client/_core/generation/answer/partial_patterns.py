r"""Patterns that match the beginning of what another pattern matches, at the end of a text.

``re`` cannot say whether more text could complete a match. For most patterns a second one can: of ``<f=(\w+)>`` it is
``(?:|<|<f|<f=)\Z`` or the whole beginning with ``\w+`` at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["partial_pattern"]

_END = r"\Z"
_QUANTIFIER = re.compile(r"(\*|\+|\?|\{(\d*)(,?)(\d*)\})([?+]?)")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[dDsSwW]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[abfnrtv]|[^a-zA-Z0-9])", re.DOTALL)
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
_MOST = 40  # nested groups

_Begin: TypeAlias = Callable[[str], str]
_Item: TypeAlias = tuple[str, _Begin | None]
"""An item's source, and the pattern of its beginning as a function of that of the rest; None for a plain character."""


class _UnknownError(Exception):
    """The pattern has something that is not read here."""


def partial_pattern(source: str) -> str | None:
    """Return the pattern of a beginning at the end of the text.

    Args:
        source: the source of a pattern for ``re``.

    Returns:
        The source of a pattern; None for one with back references, look-behinds or flags.
    """
    try:
        reader = _Reader(source)
        _, partial = reader.alternatives(0)
        if reader.position != len(source):
            return None
        re.compile(partial)
    except (_UnknownError, re.error, RecursionError, OverflowError):
        return None
    return partial


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.position = 0

    def alternatives(self, depth: int) -> tuple[str, str]:
        """Read up to the end of the group; return the whole and the pattern of a beginning."""
        if depth > _MOST:
            raise _UnknownError
        wholes, partials = [], []
        while True:
            whole, partial = self._sequence(depth)
            wholes.append(whole)
            partials.append(partial)
            if not self.source.startswith("|", self.position):
                break
            self.position += 1
        return f"(?:{'|'.join(wholes)})", f"(?:{'|'.join(partials)})"

    def _sequence(self, depth: int) -> tuple[str, str]:
        items = []
        while self.position < len(self.source) and self.source[self.position] not in "|)":
            items.append(self._item(depth))
        partial = _END
        run: list[str] = []  # plain characters, last first: they need no group each
        for whole, begin in reversed(items):
            if begin is None:
                run.append(whole)
                continue
            partial = begin(_flushed(run, partial))
            run = []
        return "".join(whole for whole, _ in items), _flushed(run, partial)

    def _item(self, depth: int) -> _Item:
        source, start = self.source, self.position
        if source.startswith(("(?=", "(?!"), start):
            return self._look_ahead(depth, negative=source[start + 2] == "!")
        if source.startswith("(", start):
            opened = _GROUP.match(source, start)
            if opened is None:
                raise _UnknownError
            self.position = opened.end()
            whole, inner = self.alternatives(depth + 1)
            self._close()
            return self._quantified(whole, inner)
        for sign, meaning in (("^", "^"), (r"\A", r"\A"), ("$", _END), (r"\Z", _END), (r"\b", "")):
            if source.startswith(sign, start):
                self.position += len(sign)
                return sign, _prefixed(meaning)
        atom = _CLASS.match(source, start) or _ESCAPE.match(source, start)
        whole = atom[0] if atom else source[start]
        if not atom and whole in "*+?{}\\[":
            raise _UnknownError
        self.position += len(whole)
        return self._quantified(whole, None)

    def _look_ahead(self, depth: int, *, negative: bool) -> _Item:
        start = self.position
        self.position += 3
        _, inner = self.alternatives(depth + 1)
        self._close()
        whole = self.source[start : self.position]
        if negative:
            return whole, _prefixed(whole)
        return whole, lambda rest: f"(?:{inner}|{whole}{rest})"

    def _quantified(self, whole: str, inner: str | None) -> _Item:
        found = _QUANTIFIER.match(self.source, self.position)
        if found is None:
            if inner is None:
                return whole, None
            return whole, lambda rest: f"(?:{inner}|{whole}{rest})"
        self.position = found.end()
        many = whole + found[0]
        before = f"{whole}*"
        if inner is None:
            return many, lambda rest: f"(?:{before}{_END}|{many}{rest})"
        return many, lambda rest: f"(?:{before}{inner}|{many}{rest})"

    def _close(self) -> None:
        if not self.source.startswith(")", self.position):
            raise _UnknownError
        self.position += 1


def _prefixed(start: str) -> _Begin:
    return lambda rest: start + rest


def _flushed(run: list[str], rest: str) -> str:
    """Put plain characters before the beginning of the rest."""
    if not run:
        return rest
    characters = run[::-1]
    beginnings = "|".join("".join(characters[:count]) for count in range(len(characters)))
    return f"(?:(?:{beginnings}){_END}|{''.join(characters)}{rest})"
