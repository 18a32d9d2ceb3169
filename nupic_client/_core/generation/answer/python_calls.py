"""Calls written as in Python: ``[weather(city="Paris", days=2), now()]``."""

from __future__ import annotations

import re

from nupic_client._core.generation.answer.casting import joined, quoted
from nupic_client._core.generation.answer.json_scanner import MAX_DEPTH

__all__ = ["CallListEnd", "read_calls"]

_BLANK = re.compile(r"[\s,;]*")
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[-.][A-Za-z0-9_]+)*")
_NUMBER = re.compile(r"([-+]?)0*((?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?![\w.])")
_STRING = re.compile(r"""'([^'\\]*(?:\\.[^'\\]*)*)'|"([^"\\]*(?:\\.[^"\\]*)*)\"""", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_CONSTANTS = {
    "True": "true",
    "true": "true",
    "False": "false",
    "false": "false",
    "None": "null",
    "null": "null",
}
_PLAIN = re.compile(r"""[^\[\](){}'"]*""")
_QUOTED = {"'": re.compile(r"[^'\\]*"), '"': re.compile(r'[^"\\]*')}
_PAIRS = {"[": "]", "(": ")", "{": "}"}


class _WrongError(Exception):
    """This is no list of calls."""


def read_calls(text: str) -> list[tuple[str, str]] | None:
    """Read a list of calls with named arguments.

    The brackets around it may be missing, and line ends may stand for commas.

    Args:
        text: the list.

    Returns:
        Names and arguments, the latter as JSON; None if this is no such list.
    """
    try:
        return _Calls(text).read()
    except _WrongError:
        return None


class _Calls:
    """Reads one text from left to right; its values as JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def read(self) -> list[tuple[str, str]]:
        calls = []
        bracket = self._takes("[")
        while self._skip(_BLANK) < len(self._text) and not self._text.startswith("]", self._position):
            calls.append(self._call())
        if bracket and not self._takes("]"):
            raise _WrongError
        if self._skip(_SPACE) != len(self._text):
            raise _WrongError
        return calls

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._position)
        self._position = self._position if found is None else found.end()
        return self._position

    def _takes(self, sign: str) -> bool:
        if self._text.startswith(sign, self._skip(_SPACE)):
            self._position += len(sign)
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise _WrongError

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._skip(_SPACE))
        if found is not None:
            self._position = found.end()
        return found

    def _name(self) -> str:
        found = self._match(_NAME)
        if found is None:
            raise _WrongError
        return found[0]

    def _call(self) -> tuple[str, str]:
        name = self._name()
        self._expect("(")
        pairs: dict[str, str] = {}
        while not self._takes(")"):
            if pairs:
                self._expect(",")
                if self._takes(")"):
                    break
            key = self._name()
            self._expect("=")
            if key in pairs:
                raise _WrongError
            pairs[key] = self._value(1)
        return name, joined(pairs)

    def _value(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise _WrongError
        if self._takes("["):
            return self._list(depth, "]")
        if self._takes("("):
            return self._list(depth, ")")
        if self._takes("{"):
            return self._dict(depth)
        if (text := self._string()) is not None:
            return quoted(text)
        if (number := self._match(_NUMBER)) is not None:
            return f"{number[1].strip('+')}{number[2]}"
        word = self._name()
        if word not in _CONSTANTS:
            raise _WrongError
        return _CONSTANTS[word]

    def _list(self, depth: int, end: str) -> str:
        values: list[str] = []
        while not self._takes(end):
            if values:
                self._expect(",")
                if self._takes(end):
                    break
            values.append(self._value(depth + 1))
        return f"[{', '.join(values)}]"

    def _dict(self, depth: int) -> str:
        pairs: dict[str, str] = {}
        while not self._takes("}"):
            if pairs:
                self._expect(",")
                if self._takes("}"):
                    break
            key = self._string()
            if key is None or key in pairs:
                raise _WrongError
            self._expect(":")
            pairs[key] = self._value(depth + 1)
        return joined(pairs)

    def _string(self) -> str | None:
        found = self._match(_STRING)
        if found is None:
            return None
        body = found[1] if found[1] is not None else found[2]
        return _ESCAPE.sub(_unescaped, body)


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    if code:
        character = chr(int(code, 16))
        if "\ud800" <= character <= "\udfff":
            raise _WrongError
        return character
    if escape[3]:
        # An unknown escape is what Python makes of it: a backslash and the character.
        plain = escape[3] in "\\'\"/"
        return escape[3] if plain else _ESCAPES.get(escape[3], escape[0])
    high, low = int(escape[0][2:6], 16), int(escape[0][8:12], 16)
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


class CallListEnd:
    """Finds the bracket that ends a list of calls which is still arriving."""

    __slots__ = ("_closing", "_quote")

    def __init__(self) -> None:
        self._closing: list[str] = []
        self._quote = ""

    def feed(self, text: str, position: int) -> tuple[bool | None, int]:
        """Read on.

        Args:
            text: the text.
            position: where to go on.

        Returns:
            True where the list ended, False where the brackets are wrong, None where more text is needed; and the place.
        """
        while True:
            plain = (_QUOTED[self._quote] if self._quote else _PLAIN).match(text, position)
            position = position if plain is None else plain.end()
            if position == len(text):
                return None, position
            character = text[position]
            if self._quote and character == "\\":
                if position + 1 == len(text):
                    return None, position
                position += 2
                continue
            if not self._takes(character):
                return False, position
            position += 1
            if not self._closing:
                return True, position

    def _takes(self, character: str) -> bool:
        """Take a bracket or a quote, and return whether it is right."""
        if self._quote:
            self._quote = ""
        elif character in _QUOTED:
            self._quote = character
        elif character in _PAIRS:
            self._closing.append(_PAIRS[character])
            return len(self._closing) <= MAX_DEPTH + 3
        else:
            return bool(self._closing) and self._closing.pop() == character
        return True
