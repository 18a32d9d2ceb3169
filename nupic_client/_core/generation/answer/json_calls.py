"""Calls written in JSON: their arguments are told as they come, a slice of the model's own text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from nupic_client._core.generation.answer.calls import CallLog
from nupic_client._core.generation.answer.json_scanner import JsonEvent, JsonScanner, is_json
from nupic_client._core.generation.answer.reading import Reading
from nupic_client._core.generation.answer.recipe import Path, Recipe

__all__ = ["JsonCalls", "unquoted"]

_KEPT_DEPTH = 4
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonCalls:
    """Reads one JSON value: a call, a list of calls, or the arguments of one.

    Args:
        recipe: where name and arguments are.
        groups: the named groups of the anchor.
        log: takes the calls.
        anchored: whether an anchor says that this is a call; else it must have arguments.
    """

    __slots__ = (
        *(
            "_anchored",
            "_arguments",
            "_arguments_depth",
            "_base",
            "_from",
            "_groups",
            "_id",
            "_is_list",
            "_keys",
            "_log",
        ),
        *("_name", "_path", "_pending", "_recipe", "_scanner", "_started", "_told", "settled"),
    )
    closes = False
    """Whether the anchor that ends the field is read here."""

    def __init__(self, recipe: Recipe, groups: Mapping[str, str], log: CallLog, *, anchored: bool) -> None:
        self._recipe = recipe
        self._anchored = anchored
        self._groups = groups
        self._log = log
        self._scanner = JsonScanner(_KEPT_DEPTH)
        self._is_list = False
        self._base = 0
        self._told = False
        self.settled = -1
        """The end of the last complete call in the text that was given last; -1 without one."""
        self._begin()

    def _begin(self) -> None:
        self._keys: list[str] = []
        self._name = self._recipe.name.outside(self._groups)
        self._id = self._recipe.id.outside(self._groups)
        self._path: Path | None = None
        self._arguments_depth = -1  # not within the arguments
        self._from = 0
        self._arguments: bool = False
        self._pending: list[str] = []
        self._started = False

    def feed(self, text: str, position: int, *, final: bool) -> tuple[Reading, int]:
        """Read on.

        Args:
            text: the text.
            position: where to go on.
            final: whether no more text will follow.

        Returns:
            The state, and how far the text was read.
        """
        del final  # a JSON value says itself where it ends
        self.settled = -1
        self._from = position
        while True:
            event, position = self._scanner.scan(text, position)
            if event is JsonEvent.MORE:
                return (Reading.MORE if self._flush(text, position) else Reading.WRONG), position
            if event is JsonEvent.WRONG:
                return Reading.WRONG, position
            if event is JsonEvent.START:
                right = self._value_starts(text, position)
            elif event is JsonEvent.END:
                right = self._value_ends(text, position)
            else:
                right = self._key(self._scanner.string)
            if not right:
                return Reading.WRONG, position
            if event is JsonEvent.END and not self._scanner.depth:
                return (Reading.DONE if self._told else Reading.WRONG), position

    def finish(self, *, cut: bool) -> Reading:
        """Say that the answer ended in the middle of the value."""
        del cut
        return Reading.WRONG

    def _key(self, raw: str) -> bool:
        place = self._scanner.depth - self._base - 1
        if self._arguments_depth < 0 and 0 <= place < _KEPT_DEPTH - 1:
            del self._keys[place:]
            key = unquoted(raw)
            if key is None or len(self._keys) != place:
                return key is not None
            self._keys.append(key)
        return True

    def _value_starts(self, text: str, position: int) -> bool:
        depth, first = self._scanner.depth, text[position]
        if self._arguments_depth >= 0:
            return True
        if not depth and first == "[" and self._recipe.in_content:
            self._is_list, self._base = True, 1
            return True
        if depth == self._base:
            self._begin()
            if first != "{":
                return False
            return self._recipe.in_content or self._open_arguments(depth, position)
        path = tuple(self._keys)
        # A list in between is no path.
        self._path = path if depth - self._base == len(path) else None
        if self._path in self._recipe.arguments.paths and not self._arguments:
            return first in '"n' or (first == "{" and self._open_arguments(depth, position))
        return True

    def _open_arguments(self, depth: int, position: int) -> bool:
        self._arguments = True
        self._arguments_depth = depth
        self._from = position
        return self._start()

    def _start(self) -> bool:
        """Tell that a call began, as soon as both name and arguments are there."""
        if self._started or self._name is None or not self._arguments:
            return True
        self._started = self._log.start(self._name, self._id)
        pending, self._pending = self._pending, []
        return self._started and self._log.add("".join(pending))

    def _flush(self, text: str, position: int) -> bool:
        """Tell the arguments that have arrived."""
        if self._arguments_depth < 0:
            return True
        piece = text[self._from : position]
        self._from = position
        if self._started:
            return self._log.add(piece)
        self._pending.append(piece)
        return True

    def _value_ends(self, text: str, position: int) -> bool:
        depth = self._scanner.depth
        if self._arguments_depth >= 0:
            if depth > self._arguments_depth:
                return True
            right = self._flush(text, position)
            self._arguments_depth = -1
            if not right or self._recipe.in_content:
                return right
        elif depth > self._base:
            return self._scalar_ends(is_string=text[position - 1] == '"')
        if depth == self._base and (self._is_list or not depth):
            return self._call_ends(position)
        return True

    def _scalar_ends(self, *, is_string: bool) -> bool:
        path, self._path = self._path, None
        value = unquoted(self._scanner.string) if is_string else None
        if path is None:
            return True
        if path in self._recipe.arguments.paths and not self._arguments:
            # Some models write the arguments as a text with JSON in it, or null.
            arguments = value if is_string else "{}"
            if arguments is None or not (arguments.lstrip().startswith("{") and is_json(arguments)):
                return False
            self._arguments = True
            self._pending.append(arguments)
            return self._start()
        if path in self._recipe.name.paths and self._name is None:
            if not value:
                return False
            self._name = value
            return self._start()
        if path in self._recipe.id.paths and value and not self._started:
            self._id = value
        return True

    def _call_ends(self, position: int) -> bool:
        if self._name is None:
            return False
        if not self._arguments:
            if not self._anchored:
                return False
            self._arguments = True
            self._pending.append("{}")
        if not self._start():
            return False
        self._log.complete()
        self._told = True
        self.settled = position
        return True


def unquoted(raw: str) -> str | None:
    """Return the text of a JSON string; None if it is not Unicode.

    Args:
        raw: the string as it is written, without its quotes.
    """
    if "\\" not in raw:
        return raw
    text = str(json.loads(f'"{raw}"'))
    return None if _SURROGATE.search(text) else text
