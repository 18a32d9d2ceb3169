"""JSON that is still arriving: one value, strictly as RFC 8259 has it, token by token, without a second look."""

from __future__ import annotations

import enum
import re

__all__ = ["MAX_DEPTH", "JsonEvent", "JsonScanner", "is_json"]

MAX_DEPTH = 64
"""The deepest nesting that is read."""

_BLANK = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_ESCAPE_BEGUN = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_WORD = re.compile(r"[-+.0-9a-zA-Z]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_NUMBER_BEGUN = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.(?:[0-9]+(?:[eE](?:[-+]?[0-9]*)?)?)?|[eE](?:[-+]?[0-9]*)?)?)?"
)
_LONGEST_WORD = 1024
_WORDS = ("true", "false", "null")


class JsonEvent(enum.Enum):
    """The reason why `JsonScanner.scan` came back."""

    MORE = enum.auto()
    """The text ends here."""
    KEY = enum.auto()
    """A key ended; it is in `JsonScanner.string`, as it is written."""
    START = enum.auto()
    """A value begins here."""
    END = enum.auto()
    """A value ended here; if it was a string, it is in `JsonScanner.string`."""
    WRONG = enum.auto()
    """This is no JSON, or nested too deep."""


class _Mode(enum.Enum):
    VALUE = enum.auto()
    FIRST_VALUE = enum.auto()
    FIRST_KEY = enum.auto()
    KEY = enum.auto()
    COLON = enum.auto()
    COMMA = enum.auto()
    STRING = enum.auto()
    WORD = enum.auto()
    DONE = enum.auto()


class JsonScanner:
    """Reads one JSON value that arrives in pieces.

    Args:
        kept_depth: how deep in the value strings are kept for `string`.
    """

    __slots__ = ("_in_key", "_kept", "_kept_depth", "_mode", "_open", "_started", "_word", "string")

    def __init__(self, kept_depth: int = 0) -> None:
        self._open: list[str] = []
        self._mode = _Mode.VALUE
        self._in_key = False
        self._started = False
        self._word = ""
        self._kept: list[str] = []
        self._kept_depth = kept_depth
        self.string = ""
        """The last key or string, without its quotes, as it is written; empty if it is too deep."""

    @property
    def depth(self) -> int:
        """The number of objects and arrays that are open."""
        return len(self._open)

    def scan(self, text: str, position: int) -> tuple[JsonEvent, int]:
        """Read on to the next event.

        Args:
            text: the text.
            position: where to go on.

        Returns:
            The event and its place. With ``MORE`` the text from that place on has to be given again.
        """
        while True:
            if self._mode is _Mode.STRING:
                event, position = self._string(text, position)
            elif self._mode is _Mode.WORD:
                event, position = self._scalar(text, position)
            else:
                blank = _BLANK.match(text, position)
                position = position if blank is None else blank.end()
                if position == len(text):
                    return JsonEvent.MORE, position
                event, position = self._token(text, position)
            if event is not None:
                return event, position

    def _token(self, text: str, position: int) -> tuple[JsonEvent | None, int]:
        character, mode = text[position], self._mode
        if (mode, character) in ((_Mode.FIRST_VALUE, "]"), (_Mode.FIRST_KEY, "}")):
            return self._closed(position)
        if mode in (_Mode.VALUE, _Mode.FIRST_VALUE):
            return self._value(character, position)
        if mode in (_Mode.KEY, _Mode.FIRST_KEY):
            if character == '"':
                self._begin_string(in_key=True)
                return None, position + 1
        elif mode is _Mode.COLON:
            if character == ":":
                self._mode = _Mode.VALUE
                return None, position + 1
        elif mode is _Mode.COMMA:
            if character == ",":
                self._mode = _Mode.KEY if self._open[-1] == "{" else _Mode.VALUE
                return None, position + 1
            if character == ("}" if self._open[-1] == "{" else "]"):
                return self._closed(position)
        return JsonEvent.WRONG, position

    def _value(self, character: str, position: int) -> tuple[JsonEvent | None, int]:
        """Begin a value: say so first, and take its first character at the next call."""
        if not self._started:
            if character not in '"{[-0123456789tfn' or len(self._open) >= MAX_DEPTH:
                return JsonEvent.WRONG, position
            self._started = True
            return JsonEvent.START, position
        self._started = False
        self.string = ""
        if character == '"':
            self._begin_string(in_key=False)
        elif character in "{[":
            self._open.append(character)
            self._mode = _Mode.FIRST_KEY if character == "{" else _Mode.FIRST_VALUE
        else:
            self._mode = _Mode.WORD
            return None, position
        return None, position + 1

    def _begin_string(self, *, in_key: bool) -> None:
        self._mode, self._in_key = _Mode.STRING, in_key
        self._kept = []

    def _string(self, text: str, position: int) -> tuple[JsonEvent | None, int]:
        start = position
        event: JsonEvent | None = None
        while True:
            plain = _STRING.match(text, position)
            position = position if plain is None else plain.end()
            if position == len(text):
                event = JsonEvent.MORE
                break
            if text[position] == '"':
                break
            escape = _ESCAPE.match(text, position)
            if escape is None:
                event = JsonEvent.MORE if _ESCAPE_BEGUN.match(text, position) else JsonEvent.WRONG
                break
            position = escape.end()
        if len(self._open) <= self._kept_depth:
            self._kept.append(text[start:position])
        if event is not None:
            return event, position
        self.string = "".join(self._kept)
        if self._in_key:
            self._mode = _Mode.COLON
            return JsonEvent.KEY, position + 1
        return self._ended(position + 1)

    def _scalar(self, text: str, position: int) -> tuple[JsonEvent | None, int]:
        found = _WORD.match(text, position)
        end = position if found is None else found.end()
        self._word += text[position:end]
        if end == len(text):
            if _is_begun(self._word):
                return JsonEvent.MORE, end
        elif _is_whole(self._word):
            self._word = ""
            return self._ended(end)
        # The place of the first wrong character, however the text was cut.
        right = next(
            (count for count in range(len(self._word)) if not _is_begun(self._word[: count + 1])), None
        )
        return JsonEvent.WRONG, end if right is None else end - (len(self._word) - right)

    def _closed(self, position: int) -> tuple[JsonEvent | None, int]:
        self._open.pop()
        self.string = ""
        return self._ended(position + 1)

    def _ended(self, position: int) -> tuple[JsonEvent | None, int]:
        self._mode = _Mode.COMMA if self._open else _Mode.DONE
        return JsonEvent.END, position


def _is_whole(word: str) -> bool:
    """Whether a word is a number, true, false or null."""
    return len(word) <= _LONGEST_WORD and (word in _WORDS or bool(_NUMBER.fullmatch(word)))


def _is_begun(word: str) -> bool:
    """Whether more characters can make such a word of one."""
    return len(word) <= _LONGEST_WORD and (word in _BEGINNINGS or bool(_NUMBER_BEGUN.fullmatch(word)))


_BEGINNINGS = frozenset(word[:count] for word in _WORDS for count in range(1, len(word) + 1))


def is_json(text: str) -> bool:
    """Whether a text is one JSON value.

    Args:
        text: the text; blanks around it do not matter.
    """
    scanner = JsonScanner()
    position, text = 0, f"{text} "
    while True:
        event, position = scanner.scan(text, position)
        if event in (JsonEvent.MORE, JsonEvent.WRONG):
            return False
        if event is JsonEvent.END and not scanner.depth:
            return not text[position:].strip(" \t\n\r")
