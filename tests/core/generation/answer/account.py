"""An answer parser that keeps account of every character, and what came out of it in one value."""

from __future__ import annotations

from dataclasses import dataclass

from nupic_client._core.generation.answer import AnswerParser
from nupic_client._core.generation.answer.told_text import ToldText
from nupic_client.results import ReasoningDelta, ToolArguments, ToolCallStarted
from nupic_client.tools import ToolCall


class CountingText(ToldText):
    """Remembers what was left out, and where."""

    __slots__ = ("emitted", "skipped")

    def __init__(self, parts):
        super().__init__(parts)
        self.emitted, self.skipped = [], []

    def _told(self):
        return [_text(part) for part in [*self.emitted, *self._parts]]

    def skip(self, text):
        if text:
            self.skipped.append((sum(map(len, self._told())), text))

    def restart(self):
        super().restart()
        self.emitted, self.skipped = [], []

    def account(self):
        """Return all that came in, put together again of what came out and what was left out."""
        told = "".join(self._told())
        pieces, last = [], 0
        for place, text in self.skipped:
            pieces += [told[last:place], text]
            last = place
        return "".join([*pieces, told[last:]])


class CountingParser(AnswerParser):
    """An answer parser whose text is accounted for."""

    __slots__ = ()

    told_text = CountingText


def _text(part):
    if isinstance(part, str):
        return part
    return part.text if isinstance(part, ReasoningDelta) else ""


@dataclass(frozen=True)
class Outcome:
    """What a parser made of an answer."""

    content: str
    reasoning: str
    calls: tuple[ToolCall, ...]
    invalid: tuple[str, ...]
    account: str
    started: int


def read(answer_format, pieces, *, cut=False, tools=(), prompt=""):
    """Read an answer in pieces, and check that the events fit together."""
    parser = CountingParser(answer_format, tools=tools, prompt=prompt, new_id=lambda index: f"call_{index}")
    parts = []
    for piece in pieces:
        new = parser.feed(piece)
        parser._text.emitted += new
        parts += new
    new = parser.finish(cut=cut)
    parser._text.emitted += new
    parts += new
    started = check_events(parts, parser)
    return Outcome(
        content="".join(part for part in parts if isinstance(part, str)),
        reasoning=parser.reasoning,
        calls=parser.tool_calls,
        invalid=parser.invalid_tool_calls,
        account=parser._text.account(),
        started=started,
    )


def check_events(parts, parser):
    begun, arguments, complete = [], {}, []
    for part in parts:
        if isinstance(part, ToolCallStarted):
            assert part.index == len(begun)
            begun.append(part)
            arguments[part.index] = ""
        elif isinstance(part, ToolArguments):
            assert part.index == len(begun) - 1
            assert part.json_delta
            arguments[part.index] += part.json_delta
        elif isinstance(part, ToolCall):
            assert (part.id, part.name) == (begun[-1].id, begun[-1].name)
            assert part.arguments == arguments[begun[-1].index]
            complete.append(part)
        else:
            assert _text(part)
    assert "".join(part.text for part in parts if isinstance(part, ReasoningDelta)) == parser.reasoning
    assert tuple(complete) == parser.tool_calls
    assert len({start.id for start in begun}) == len(begun)
    return len(begun)
