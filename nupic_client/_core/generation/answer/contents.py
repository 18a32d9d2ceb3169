"""Contents that are read as a whole: tags, lines of keys and values, JSON in a dialect, lists of Python calls."""

from __future__ import annotations

import json
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
ContentReader: TypeAlias = Callable[[str, Groups, CallLog], bool]
"""Reads a content with the named groups of its anchors, tells the log of the calls, and returns whether there were any."""

_BARE_KEY = r"(?<=[{,])(\s*)([A-Za-z_$][\w$.-]*)(\s*):"
_QUOTED = r'"(?:[^"\\]|\\.)*"'


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
        quotes = [pair for pair in args.get("string_delims") or () if len(pair) == 2 and all(pair)]
        strings = [f"{re.escape(opened)}(?s:(.*?)){re.escape(closed)}" for opened, closed in quotes]
        keys = [_BARE_KEY] if self._bare_keys else []
        self._pattern = re.compile("|".join([*strings, _QUOTED, *keys]), re.DOTALL)
        self._strings = len(strings)

    def read(self, body: str, groups: Groups, log: CallLog) -> bool:
        text = self._pattern.sub(self._usual, body.strip())
        # Tried first: of a list with one wrong call nothing is told.
        for taker in (CallLog(str), log):
            state, end = JsonCalls(self._recipe, groups, taker).feed(text, 0, final=True)
            if state is not Reading.DONE or end != len(text):
                return False
        return True

    def _usual(self, match: re.Match[str]) -> str:
        for text in match.groups()[: self._strings]:
            if text is not None:
                return quoted(text)
        if self._bare_keys and match[self._strings + 2] is not None:
            return f'{match[self._strings + 1]}"{match[self._strings + 2]}"{match[self._strings + 3]}:'
        return match[0]


@dataclass(frozen=True, slots=True)
class _Tags:
    """One tag for each argument."""

    args: Mapping[str, Any]

    def pairs(self, body: str) -> list[tuple[str, str]]:
        pattern = re.compile(self.args["tag_pattern"], re.DOTALL)
        return [(match["key"] or "", match["value"] or "") for match in pattern.finditer(body)]


@dataclass(frozen=True, slots=True)
class _Lines:
    """One line for each argument."""

    args: Mapping[str, Any]

    def pairs(self, body: str) -> list[tuple[str, str]]:
        separator = str(self.args.get("kv_sep", ":"))
        strip = self.args.get("strip", True)
        pairs = []
        for line in body.split(str(self.args.get("line_sep", "\n"))):
            key, found, value = line.partition(separator)
            if found and line.strip():
                pairs.append((key.strip(), value.strip()) if strip else (key, value))
        return pairs


class _Pairs:
    """A call whose arguments are names and texts."""

    def __init__(
        self,
        pairs: Callable[[str], list[tuple[str, str]]],
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
        found: dict[str, list[str]] = {}
        for key, value in self._pairs(body):
            if not self._merges:
                found.pop(key, None)
            found.setdefault(key, []).append(value)
        name = self._recipe.name.outside(groups) or self._text(found, self._recipe.name.paths)
        if not name or (not found and body.strip() and self._recipe.name.group and not _is_empty(body)):
            return False
        identity = self._recipe.id.outside(groups) or self._text(found, self._recipe.id.paths)
        if () not in self._recipe.arguments.paths:
            arguments = self._text(found, self._recipe.arguments.paths)
            right = arguments is not None and arguments.strip().startswith("{") and is_json(arguments)
            return right and _told(log, name, arguments or "", identity)
        tool = self._tools.get(name)
        schemas = {} if tool is None else properties_of(tool.parameters)
        values = {key: self._value(texts, schemas.get(key)) for key, texts in found.items()}
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


def _is_empty(body: str) -> bool:
    """Whether a body without arguments has nothing but the ends of tags."""
    return not re.sub(r"</[^<>]*>|\s", "", body) or json.dumps(body.strip()) == '"{}"'
