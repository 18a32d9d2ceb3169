"""Contents that are read as a whole: tags, lines of keys and values, JSON in a dialect, lists of Python calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nupic_client._core.generation.answer.calls import MAX_CALLS, CallLog
from nupic_client._core.generation.answer.casting import cast, joined, properties_of, quoted
from nupic_client._core.generation.answer.json_calls import JsonCalls
from nupic_client._core.generation.answer.json_scanner import is_json
from nupic_client._core.generation.answer.python_calls import read_calls
from nupic_client._core.generation.answer.reading import Reading
from nupic_client._core.generation.answer.recipe import Recipe
from nupic_client.prompts.answer import AnswerField
from nupic_client.tools import Tool

__all__ = ["ContentReader", "content_reader", "is_dialect"]

Groups: TypeAlias = Mapping[str, str]
_Pair: TypeAlias = tuple[str, str, str]
"""A key, its value, and ``true`` or ``false`` where the tag says whether it is a string."""
ContentReader: TypeAlias = Callable[[str, Groups, CallLog], bool]
"""Reads a content with the named groups of its anchors, tells the log of the calls, and returns whether there were any."""

_BARE_KEY = r"(?<=[{,])(\s*)([A-Za-z_$][\w$.-]*)(\s*):"
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_TAG_BEGUN = re.compile(r"<(?:[^/]|\Z)")
_TAG_END = re.compile(r"</[^<>]*>?")
_TAIL = re.compile(r"[^\\.^$*+?{}\[\]|()]+\Z")


def is_dialect(field: AnswerField) -> bool:
    """Whether the JSON of a field is not the usual one."""
    return bool(field.content_args.get("unquoted_keys") or field.content_args.get("string_delims"))


def content_reader(field: AnswerField, recipe: Recipe, tools: Mapping[str, Tool]) -> ContentReader:
    """Return what reads the content of a field.

    Args:
        field: a field for tool calls, with any content but plain JSON.
        recipe: its recipe.
        tools: the tools of the request by name.
    """
    if field.content == "python-call-list":
        return _python
    if field.content == "json":
        return _Dialect(field.content_args, recipe).read
    if field.content == "xml-inline":
        return _Pairs(_Tags(field.content_args).pairs, field.content_args, recipe, tools).read
    if field.content == "kv-lines":
        return _Pairs(_Lines(field.content_args).pairs, field.content_args, recipe, tools).read
    return _nothing


def _nothing(body: str, groups: Groups, log: CallLog) -> bool:
    """Read a text or a number, which is no call."""
    del body, groups, log
    return False


def _python(body: str, groups: Groups, log: CallLog) -> bool:
    del groups
    calls = read_calls(body)
    if not calls or len(calls) + len(log.calls) > MAX_CALLS:
        return False
    return all(_told(log, name, arguments, None) for name, arguments in calls)


def _told(log: CallLog, name: str, arguments: str, identity: str | None) -> bool:
    if not log.start(name, identity) or not log.add(arguments):
        return False
    log.complete()
    return True


class _Dialect:
    """JSON with bare keys, or with strings in quotes of its own."""

    def __init__(self, args: Mapping[str, Any], recipe: Recipe) -> None:
        self._recipe = recipe
        self._bare_keys = bool(args.get("unquoted_keys"))
        self._quotes = [
            (str(pair[0]), str(pair[1]))
            for pair in args.get("string_delims") or ()
            if len(pair) == 2 and all(pair)
        ]
        signs = [re.escape(opened) for opened, _ in self._quotes]
        if self._bare_keys:
            signs.append(_BARE_KEY)
        self._sign = re.compile("|".join([*signs, '"']))

    def read(self, body: str, groups: Groups, log: CallLog) -> bool:
        """See `ContentReader`."""
        text = self._usual(body.strip())
        if text is None:
            return False
        # Tried first: of a list with one wrong call nothing is told.
        for taker in (CallLog(str), log):
            state, end = JsonCalls(self._recipe, groups, taker, anchored=True).feed(text, 0, final=True)
            if state is not Reading.DONE or end != len(text):
                return False
        return True

    def _usual(self, body: str) -> str | None:
        """Return the same as usual JSON; None where a string does not end."""
        made, position = [], 0
        while (sign := self._sign.search(body, position)) is not None:
            made.append(body[position : sign.start()])
            end: int | None = sign.end()
            if sign.groups() and sign[2] is not None:
                made.append(f'{sign[1]}"{sign[2]}"{sign[3]}:')
            elif sign[0] == '"' and all(opened != '"' for opened, _ in self._quotes):
                string = _QUOTED.match(body, sign.start())
                end = None if string is None else string.end()
                made.append(body[sign.start() : end])
            else:
                end = self._quoted(body, sign, made)
            if end is None:
                return None
            position = end
        return "".join([*made, body[position:]])

    def _quoted(self, body: str, sign: re.Match[str], made: list[str]) -> int | None:
        closed = next(closed for opened, closed in self._quotes if opened == sign[0])
        end = body.find(closed, sign.end())
        if end < 0:
            return None
        made.append(quoted(body[sign.end() : end]))
        return end + len(closed)


@dataclass(frozen=True, slots=True)
class _Tags:
    """One tag for each argument."""

    args: Mapping[str, Any]

    def pairs(self, body: str) -> list[_Pair] | None:
        """Return the keys, the values, and what a named group ``string`` says of them; None where a tag has no end."""
        source = self.args["tag_pattern"]
        pattern = re.compile(source, re.DOTALL)
        # Without an end in sight each tag would be looked for up to the end of the body.
        tail = _TAIL.search(source)
        end = len(body) if tail is None else body.rfind(tail[0]) + len(tail[0])
        has_mark = "string" in pattern.groupindex
        pairs, last = [], 0
        for match in pattern.finditer(body, 0, end):
            mark = (match["string"] or "") if has_mark else ""
            pairs.append((match["key"] or "", match["value"] or "", mark))
            last = match.end()
        rest = body[last:]
        if _TAG_BEGUN.search(rest) or (not pairs and _TAG_END.sub("", rest).strip()):
            return None  # a tag without its end, or no tags at all
        return pairs


@dataclass(frozen=True, slots=True)
class _Lines:
    """One line for each argument."""

    args: Mapping[str, Any]

    def pairs(self, body: str) -> list[_Pair] | None:
        """Return the keys and values; None where there are only other lines."""
        separator = str(self.args.get("kv_sep", ":"))
        strip = self.args.get("strip", True)
        pairs = []
        for line in body.split(str(self.args.get("line_sep", "\n"))):
            key, found, value = line.partition(separator)
            if found and line.strip():
                pairs.append((key.strip(), value.strip(), "") if strip else (key, value, ""))
        return pairs if pairs or not body.strip() else None


class _Pairs:
    """A call whose arguments are names and texts."""

    def __init__(
        self,
        pairs: Callable[[str], list[_Pair] | None],
        args: Mapping[str, Any],
        recipe: Recipe,
        tools: Mapping[str, Tool],
    ) -> None:
        self._pairs = pairs
        self._recipe = recipe
        self._tools = tools
        self._merges = bool(args.get("merge_duplicates"))
        parser = args.get("value_parser")
        self._kind = parser.get("name", "text") if isinstance(parser, Mapping) else "text"

    def read(self, body: str, groups: Groups, log: CallLog) -> bool:
        """See `ContentReader`."""
        found: dict[str, list[str]] = {}
        marks = {}
        pairs = self._pairs(body)
        if pairs is None:
            return False
        for key, value, mark in pairs:
            if not self._merges:
                found.pop(key, None)
            found.setdefault(key, []).append(value)
            marks[key] = mark
        name = self._recipe.name.outside(groups) or self._text(found, self._recipe.name.paths)
        if not name:
            return False
        identity = self._recipe.id.outside(groups) or self._text(found, self._recipe.id.paths)
        if () not in self._recipe.arguments.paths:
            arguments = self._text(found, self._recipe.arguments.paths)
            right = arguments is not None and arguments.strip().startswith("{") and is_json(arguments)
            return right and _told(log, name, arguments or "", identity)
        tool = self._tools.get(name)
        schemas = {} if tool is None else properties_of(tool.parameters)
        values = {
            key: self._value(texts, _marked(schemas.get(key), marks[key])) for key, texts in found.items()
        }
        return _told(log, name, joined(values), identity)

    def _text(self, found: Mapping[str, list[str]], paths: tuple[tuple[str, ...], ...]) -> str | None:
        return next((found[path[0]][-1] for path in paths if len(path) == 1 and path[0] in found), None)

    def _value(self, texts: list[str], schema: Any) -> str:
        if len(texts) == 1:
            return self._one(texts[0], schema)
        items = schema.get("items") if isinstance(schema, Mapping) else None
        return f"[{', '.join(self._one(text, items) for text in texts)}]"

    def _one(self, text: str, schema: Any) -> str:
        if schema is None and self._kind in ("int", "float", "bool"):
            schema = {"type": {"int": "integer", "float": "number", "bool": "boolean"}[self._kind]}
        return cast(text, schema, json_by_default=self._kind == "json")


def _marked(schema: Any, mark: str) -> Any:
    """Return the schema of a string where the tag says that it is one."""
    return {"type": "string"} if mark == "true" else schema
