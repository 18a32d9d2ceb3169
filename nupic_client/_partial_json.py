"""JSON that comes in pieces, read as far as it has come: in linear time, whatever the pieces are."""

from __future__ import annotations

import json
import re
from typing import Any

from nupic_client._json_values import DEEPEST

__all__ = ["PartialJson"]

_BLANKS = " \t\n\r"
_STRING_STOP = re.compile(r'["\\]')
_SCALAR = re.compile(r"[-+.0-9a-zA-Z]*")
_PLAIN_END = frozenset(",]} \t\n\r")


class _Missing:
    """A value that is not there yet."""


_MISSING = _Missing()


class PartialJson:
    """The value that a JSON text has so far.

    Texts, numbers and words count when they are complete, objects and lists as soon as they begin. Where the text is not
    JSON any more, the value stays as it is. Nothing raises.

    Example:
        >>> partial = PartialJson()
        >>> partial.feed('{"name": "Ada", "born": 18')
        True
        >>> partial.value
        {'name': 'Ada'}
        >>> partial.feed('15}')
        True
        >>> partial.value, partial.complete
        ({'name': 'Ada', 'born': 1815}, True)
    """

    __slots__ = (
        "_buffer",
        "_escaped",
        "_expected",
        "_inside",
        "_key",
        "_root",
        "_stack",
        "broken",
        "complete",
    )

    def __init__(self) -> None:
        self._root: Any = _MISSING
        self._stack: list[Any] = []
        """The objects and lists that are open."""
        self._key: str | None = None
        """The key whose value comes next."""
        self._expected = "value"
        """What may come next: value, key, colon, comma; first-value and first-key may also be the end."""
        self._inside = ""
        """The kind of token that the text ends in: string, scalar or none."""
        self._buffer: list[str] = []
        self._escaped = False
        self.complete = False
        """Whether the value is complete."""
        self.broken = False
        """Whether the text is not JSON."""

    @property
    def value(self) -> Any:
        """The value so far; None before it begins. The same object every time, which grows."""
        return None if self._root is _MISSING else self._root

    def feed(self, text: str) -> bool:
        """Take more text and return whether the value has changed."""
        position, changed = 0, False
        while position < len(text) and not self.broken:
            if self._inside == "string":
                position, did = self._in_string(text, position)
            elif self._inside == "scalar":
                position, did = self._in_scalar(text, position)
            else:
                position, did = self._between(text, position)
            changed = changed or did
        return changed

    def end(self) -> bool:
        """Take the end of the text, which completes a number, and return whether the value has changed."""
        return not self.broken and self._inside == "scalar" and self._scalar_done()

    def _in_string(self, text: str, position: int) -> tuple[int, bool]:
        if self._escaped:
            self._buffer.append(text[position])
            self._escaped = False
            return position + 1, False
        stop = _STRING_STOP.search(text, position)
        end = len(text) if stop is None else stop.end()
        self._buffer.append(text[position:end])
        if stop is None:
            return end, False
        if stop[0] == "\\":
            self._escaped = True
            return end, False
        return end, self._string_done()

    def _string_done(self) -> bool:
        value = self._decoded()
        if self.broken:
            return False
        if self._expected in {"key", "first-key"}:
            self._key = value
            self._expected = "colon"
            return False
        self._put(value)
        return True

    def _in_scalar(self, text: str, position: int) -> tuple[int, bool]:
        match = _SCALAR.match(text, position)
        end = match.end() if match else position
        self._buffer.append(text[position:end])
        if end == len(text):
            return end, False
        if text[end] not in _PLAIN_END:
            self.broken = True
            return end, False
        return end, self._scalar_done()

    def _scalar_done(self) -> bool:
        value = self._decoded()
        if self.broken:
            return False
        self._put(value)
        return True

    def _decoded(self) -> Any:
        text = "".join(self._buffer)
        self._buffer.clear()
        self._inside = ""
        try:
            return json.loads(text, parse_constant=_no_constant)
        except ValueError:
            self.broken = True
            return None

    def _between(self, text: str, position: int) -> tuple[int, bool]:
        character = text[position]
        if character in _BLANKS:
            return position + 1, False
        if self.complete:
            self.broken = True
        elif character == '"' and self._expected not in {"colon", "comma"}:
            self._inside = "string"
            self._buffer.append(character)
        elif character in "{[" and self._expected in {"value", "first-value"}:
            return position + 1, self._open(character)
        elif character in "}]":
            self._close(character)
        elif character == ":" and self._expected == "colon":
            self._expected = "value"
        elif character == "," and self._expected == "comma":
            self._expected = "key" if isinstance(self._stack[-1], dict) else "value"
        elif self._expected in {"value", "first-value"} and (character.isalnum() or character == "-"):
            self._inside = "scalar"
            return position, False
        else:
            self.broken = True
        return position + 1, False

    def _open(self, character: str) -> bool:
        if len(self._stack) >= DEEPEST:
            self.broken = True
            return False
        container: Any = {} if character == "{" else []
        self._put(container)
        self._stack.append(container)
        self.complete = False
        self._expected = "first-key" if character == "{" else "first-value"
        return True

    def _close(self, character: str) -> None:
        kind, allowed = (
            (dict, {"first-key", "comma"}) if character == "}" else (list, {"first-value", "comma"})
        )
        if not self._stack or not isinstance(self._stack[-1], kind) or self._expected not in allowed:
            self.broken = True
            return
        self._stack.pop()
        self._expected = "comma"
        self.complete = not self._stack

    def _put(self, value: Any) -> None:
        """Put a value where it belongs."""
        if not self._stack:
            self._root = value
            self.complete = True
            return
        container = self._stack[-1]
        if isinstance(container, dict):
            container[self._key] = value
        else:
            container.append(value)
        self._expected = "comma"


def _no_constant(name: str) -> None:
    raise ValueError(name)
