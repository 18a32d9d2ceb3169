"""What a prompt of a family says: its tools, what the user said last, and what the tools that were called returned.

The family is not parsed but asked: it writes conversations of known words, which show what it puts around them.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nupic_client._core.generation.answer import AnswerParser
from nupic_client.errors import NupicError
from nupic_client.messages import Message
from nupic_client.prompts.formatter import PromptFormatter
from nupic_client.tools import Tool, ToolCall, to_tools

__all__ = ["PromptReader", "ReadPrompt"]

_WORDS = tuple(f"QXWORD{letter}QX" for letter in "ABCDE")
_PROBES = (Tool("probe_a"), Tool("other_b"))
_STUB = re.compile(r"^def \w+\(.*?\).*?:\n(?:    .*\n|\n)*?    pass$", re.MULTILINE)
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """What a prompt says.

    Args:
        tools: those on offer.
        user: what the user said last; all of a prompt without turns.
        results: what the tools returned since then.
        since: the text of the prompt since then.
    """

    tools: tuple[Tool, ...]
    user: str
    results: tuple[str, ...]
    since: str


@dataclass(frozen=True, slots=True)
class _Around:
    """What a family writes before and after a content."""

    before: str
    after: str
    quoted: bool = False

    def find(self, prompt: str) -> Iterator[tuple[int, int]]:
        """Yield the beginning and the end of each content."""
        position = 0
        while self.before and (found := prompt.find(self.before, position)) >= 0:
            start = found + len(self.before)
            stops = [prompt.find(each, start) for each in (self.after, self.before) if each]
            position = min([stop for stop in stops if stop >= 0], default=len(prompt))
            yield start, position

    def read(self, text: str) -> str:
        """Return a content as its author gave it."""
        if not self.quoted:
            return text.strip()
        try:
            return str(json.loads(f'"{text}"'))
        except ValueError:
            return text


class PromptReader:
    """Reads the prompts of a family, and writes calls as its models do.

    Args:
        formatter: of the family.
    """

    def __init__(self, formatter: PromptFormatter) -> None:
        self._formatter = formatter
        self._user = self._around_user()
        self._result = self._around_result()

    @property
    def formatter(self) -> PromptFormatter:
        """The family's formatter."""
        return self._formatter

    def read(self, prompt: str) -> ReadPrompt:
        """Read a prompt."""
        tools, ends = _tools_in(prompt)
        results = list(self._result.find(prompt)) if self._result else []
        opening = len(self._result.before) if self._result else 0
        begins = [begin - opening for begin, _ in results]
        users = [
            # Results may stand in turns of the user, and calls too.
            (start, min([end, *[begin for begin in begins if begin > start]]))
            for start, end in self._user.find(prompt)
            if not any(begin <= start <= begin + opening or start == begin for begin in begins)
        ]
        start, end = users[-1] if users else (0, len(prompt))
        listed = max([start, *[each for each in ends if start < each <= end]])
        tokens = [] if not users else [*self._formatter.control_tokens, *[mark for mark, _ in self._marks()]]
        end = min(
            [end, *[at for token in tokens for at in _positions(prompt, token.strip("\n[")) if at >= listed]]
        )
        return ReadPrompt(
            tools,
            prompt[listed:end].strip(),
            tuple(self._result.read(prompt[a:b]) for a, b in results if a >= end) if self._result else (),
            prompt[end:] if users else "",
        )

    def write(self, call: ToolCall, tools: tuple[Tool, ...]) -> str:
        """Return a call as a model of the family writes it.

        Raises:
            PromptError: the family has no tools.
        """
        word, answer = _WORDS[:2]
        user = Message("user", word)
        plain = self._render(user, Message("assistant", answer), tools=tools)
        calling = self._render(user, Message("assistant", tool_calls=(call,)), tools=tools)
        opening, _, closing = plain.partition(word)[2].partition(answer)
        text = calling.rpartition(word)[2]
        text = text[len(_common_start([text, opening])) :]
        if closing.strip():
            text = text.partition(closing.strip())[0]
        tokens = {found for token in self._formatter.control_tokens for found in _positions(text, token)}
        cut = [text[:position] for position in sorted(tokens)]
        written = f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}'
        # Some templates show a model its calls in another way than they tell it to write them.
        others = [f"{before}{written}{after}" for before, after in self._marks()]
        return next((each for each in (*cut, text, *others) if self._is_call(each, call, tools)), text)

    def _marks(self) -> Iterator[tuple[str, str]]:
        """Yield what stands around a call."""
        answer = self._formatter.answer
        for field in answer.fields if answer is not None else ():
            if field.name == "tool_calls" and field.open:
                close = field.close[0] if field.close else ""
                yield field.open[0] + "\n", "\n" + close
                yield field.open[0] + "[", "]" + close

    def _is_call(self, text: str, call: ToolCall, tools: tuple[Tool, ...]) -> bool:
        """Return whether a client reads the call in a text."""
        if self._formatter.answer is None:
            return False
        parser = AnswerParser(self._formatter.answer, tools=tools, new_id=str)
        parts = [*parser.feed(text), *parser.finish(cut=False)]
        found = [part for part in parts if isinstance(part, ToolCall)]
        return [each.name for each in found] == [call.name]

    def _render(self, *messages: Message, tools: tuple[Tool, ...] = (), opened: bool = False) -> str:
        return self._formatter(
            messages, tools=tools or None, add_generation_prompt=opened, allow_control_tokens=True
        )

    def _around_user(self) -> _Around:
        """Learn what stands around what a user says."""
        first, answer, second, last = _WORDS[:4]
        try:
            talk = self._render(
                *(Message("user", first), Message("assistant", answer)),
                *(Message("user", second), Message("assistant", last)),
            )
        except NupicError:  # a family of single turns
            before, _, rest = self._render(Message("user", first), opened=True).partition(first)
            return _Around("".join(before.splitlines(keepends=True)[-1:]), rest.strip())
        after = [_between(talk, first, answer), _between(talk, second, last)]
        for tools in ((), _PROBES):
            try:
                after.append(
                    self._render(Message("user", first), tools=tools, opened=True).partition(first)[2]
                )
            except NupicError:  # a family without tools
                continue
        before = _common_end([talk.partition(first)[0], _between(talk, answer, second)])
        # What is common before the first token, such as the last letter of two tokens, is so by chance.
        starts = [before.find(token) for token in self._formatter.control_tokens]
        before = before[min([start for start in starts if start >= 0], default=0) :]
        return _Around(before.lstrip(), self._shortest(_common_start(after)))

    def _around_result(self) -> _Around | None:
        """Learn what stands around a result: of two calls at once, or one after the other."""
        for together in (True, False):
            try:
                around = self._around_results(together=together)
            except NupicError:  # a family without tools, or of one call at a time
                continue
            if around.before and around.after:
                return around
        return None

    def _around_results(self, *, together: bool) -> _Around:
        user, first, second, answer, third = _WORDS
        one, two, three = (
            ToolCall(each * 9, tool.name, arguments)
            for each, tool, arguments in zip(
                "abc", (*_PROBES, _PROBES[0]), ("{}", '{"x": 1}', "{}"), strict=True
            )
        )
        results = [
            Message("tool", word, tool_call_id=call.id, name=call.name)
            for word, call in ((first, one), (second, two), (third, three))
        ]
        calls = [Message("assistant", tool_calls=(each,)) for each in (one, two, three)]
        opening = (
            [Message("assistant", tool_calls=(one, two)), *results[:2]]
            if together
            else [calls[0], results[0], calls[1], results[1]]
        )
        prompt = self._render(
            *(Message("user", user), *opening, Message("assistant", answer)),
            *(Message("user", user), calls[2], results[2]),
            tools=_PROBES,
            opened=True,
        )
        before = _common_end(
            [prompt.partition(first)[0], _between(prompt, first, second), _between(prompt, answer, third)]
        )
        if not together:  # the end of a call is no part of a result
            before = before.rpartition("}")[2]
        after = _common_start(
            [_between(prompt, first, second), _between(prompt, second, answer), prompt.partition(third)[2]]
        )
        return _Around(before.lstrip(), self._shortest(after), before.endswith('"') and after.startswith('"'))

    def _shortest(self, after: str) -> str:
        """Return what ends a content, up to the first control token, which no content has."""
        ends = [after.find(token) + len(token) for token in self._formatter.control_tokens if token in after]
        return after[: min(ends, default=len(after))].rstrip()


def _positions(text: str, part: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(part), text)]


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


def _common_start(texts: list[str]) -> str:
    first, last = min(texts), max(texts)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join([one for one, _ in same])


def _common_end(texts: list[str]) -> str:
    return _common_start([each[::-1] for each in texts])[::-1]


def _tools_in(prompt: str) -> tuple[tuple[Tool, ...], list[int]]:
    """Return the tools that a prompt lists, as JSON or as Python, and where each ends."""
    found: dict[str, Tool] = {}
    ends = []
    for value, end in _values(prompt):
        for item in value if isinstance(value, list) else [value]:
            tool = _as_tool(item)
            if tool is not None:
                found.setdefault(tool.name, tool)
                ends.append(end)
    for stub in _STUB.finditer(prompt):
        tool = _as_tool(_of_stub(stub[0]))
        if tool is not None:
            found.setdefault(tool.name, tool)
            ends.append(stub.end())
    return tuple(found.values()), ends


def _values(prompt: str) -> Iterator[tuple[Any, int]]:
    """Yield the objects and lists of JSON in a text, and where each ends."""
    decoder = json.JSONDecoder(strict=False)  # Hermes's prompts have line breaks in strings
    position = 0
    while found := re.compile(r"[{\[]").search(prompt, position):
        try:
            value, position = decoder.raw_decode(prompt, found.start())
        except (ValueError, RecursionError):
            position = found.end()
        else:
            yield value, position


def _as_tool(item: Any) -> Tool | None:
    """Return a tool of its JSON; None for what is none, such as a call."""
    inner = item.get("function", item) if isinstance(item, Mapping) else None
    if not isinstance(inner, Mapping):
        return None
    schema = inner.get("parameters")
    if not isinstance(schema, Mapping) or not {"type", "properties"} & set(schema):
        return None
    try:
        return to_tools(
            [{"name": inner["name"], "description": inner.get("description"), "parameters": schema}]
        )[0]
    except (NupicError, LookupError):
        return None


def _of_stub(text: str) -> dict[str, Any] | None:
    """Return a tool of a Python function without a body, as Command R's prompts show it."""
    try:
        (function,) = ast.parse(text.replace("Union[]", "Any")).body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    arguments = function.args.args
    count = len(arguments) - len(function.args.defaults)
    schema = {
        "type": "object",
        "properties": {each.arg: _of_annotation(each.annotation) for each in arguments},
        "required": [each.arg for each in arguments[:count]],
    }
    return {"name": function.name, "description": ast.get_docstring(function) or "", "parameters": schema}


def _of_annotation(annotation: ast.expr | None) -> dict[str, Any]:
    text = ast.unparse(annotation) if annotation is not None else ""
    text = text.removeprefix("Optional[")
    kind = next((kind for name, kind in _TYPES.items() if text.startswith(name)), None)
    kind = kind or ("array" if text.startswith("List") else "object" if text.startswith("Dict") else None)
    return {"type": kind} if kind else {}
