"""Calls that are read when they are complete: what is no JSON, of which nothing can be told before."""

from __future__ import annotations

from collections.abc import Mapping

from nupic_client._core.generation.answer.anchors import Anchor
from nupic_client._core.generation.answer.calls import CallLog
from nupic_client._core.generation.answer.contents import ContentReader
from nupic_client._core.generation.answer.python_calls import CallListEnd
from nupic_client._core.generation.answer.reading import Reading

__all__ = ["ListedCalls", "TextCalls"]


class TextCalls:
    """Collects a content up to the anchor that ends it.

    Args:
        close: that anchor; None: the end of the answer.
        read: reads the content.
        groups: the named groups of the anchor that began it.
        log: takes the calls.
    """

    __slots__ = ("_body", "_close", "_groups", "_log", "_read", "settled")
    closes = True

    def __init__(
        self, close: Anchor | None, read: ContentReader, groups: Mapping[str, str], log: CallLog
    ) -> None:
        self._close = close
        self._read = read
        self._groups = groups
        self._log = log
        self._body: list[str] = []
        self.settled = -1

    def feed(self, text: str, position: int, *, final: bool) -> tuple[Reading, int]:
        """Read on; see `nupic_client._core.generation.answer.json_calls.JsonCalls.feed`."""
        if self._close is None:
            self._body.append(text[position:])
            return Reading.MORE, len(text)
        found, hold = self._close.find(text, position, final=final)
        if found is None or (found.start >= hold and not final):
            hold = len(text) if final else hold
            self._body.append(text[position:hold])
            return Reading.MORE, hold
        self._body.append(text[position : found.start])
        return self._done({**self._groups, **dict(found.groups)}), found.end

    def finish(self, *, cut: bool) -> Reading:
        """Say that the answer ended without the anchor: what was cut off is no call."""
        return Reading.WRONG if cut else self._done(self._groups)

    def _done(self, groups: Mapping[str, str]) -> Reading:
        right = self._read("".join(self._body), groups, self._log)
        return Reading.DONE if right else Reading.WRONG


class ListedCalls:
    """Collects a list of calls up to its last bracket.

    Args:
        read: reads the list.
        log: takes the calls.
    """

    __slots__ = ("_body", "_end", "_log", "_read", "settled")
    closes = False

    def __init__(self, read: ContentReader, log: CallLog) -> None:
        self._read = read
        self._log = log
        self._body: list[str] = []
        self._end = CallListEnd()
        self.settled = -1

    def feed(self, text: str, position: int, *, final: bool) -> tuple[Reading, int]:
        """Read on; see `nupic_client._core.generation.answer.json_calls.JsonCalls.feed`."""
        del final
        while not self._body and position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return Reading.MORE, position
        if not self._body and text[position] != "[":
            return Reading.WRONG, position
        ended, end = self._end.feed(text, position)
        self._body.append(text[position:end])
        if ended is None:
            return Reading.MORE, end
        right = ended and self._read("".join(self._body), {}, self._log)
        return (Reading.DONE if right else Reading.WRONG), end

    def finish(self, *, cut: bool) -> Reading:
        """Say that the answer ended within the list."""
        del cut
        return Reading.WRONG
