"""The parser of answers: text in any pieces goes in, the parts of the answer come out.

Laws: the parts do not depend on how the text was cut; nothing is lost: the text, the reasoning, and the source of the calls
are together all that came in but the anchors and the blanks next to them; nothing that a model writes is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from nupic_client._core.generation.answer.anchors import Anchor, Found, Pattern
from nupic_client._core.generation.answer.calls import MAX_ARGUMENTS, AnswerPart, CallLog
from nupic_client._core.generation.answer.compiled import Kind, Part, compiled
from nupic_client._core.generation.answer.prompt_tail import prompt_tail
from nupic_client._core.generation.answer.reading import CallReader, Reading
from nupic_client._core.generation.answer.told_text import BLANKS, MOST_BLANKS, ToldText
from nupic_client.prompts.answer import AnswerFormat
from nupic_client.tools import Tool, ToolCall

__all__ = ["AnswerParser"]

_MOST_SOURCE = MAX_ARGUMENTS + 65_536


class AnswerParser:
    """Reads one answer.

    Args:
        answer_format: how it is written.
        prompt: the prompt; its end may be the beginning of the answer, as where a template opens the reasoning.
        tools: the tools of the request; without tools what looks like a call is text.
        new_id: makes the id of a call whose format has none, of its number.
    """

    __slots__ = (
        "_buffer",
        "_closing",
        "_foreign",
        "_is_anchored",
        "_is_flagged",
        "_log",
        "_part",
        "_parts",
        "_position",
        "_reader",
        "_rest",
        "_size",
        "_source",
        "_stood",
        "_text",
        "_tools",
        "_watch",
    )

    told_text: ClassVar[type[ToldText]] = ToldText
    """Tests put another one here, which counts what is left out."""

    def __init__(
        self,
        answer_format: AnswerFormat,
        *,
        prompt: str = "",
        tools: Sequence[Tool] = (),
        new_id: Callable[[int], str],
    ) -> None:
        ready = compiled(answer_format, with_tools=bool(tools))
        self._tools = {tool.name: tool for tool in tools}
        self._rest = ready.rest
        self._watch: list[tuple[Anchor, Part | None]] = [
            (part.open, part) for part in ready.parts if part.open is not None
        ]
        for anchor in (ready.ignored, ready.rest.close):
            if anchor is not None:
                self._watch.append((anchor, None))
        self._log = CallLog(new_id)
        self._parts: list[AnswerPart] = self._log.parts
        self._text = self.told_text(self._parts)
        # The text that is not decided: from _position on; before it one character, so that ^ matches at the beginning only.
        self._buffer = ""
        self._position = 0
        self._foreign = 0  # how many characters from there on are the prompt's
        self._part = ready.rest
        self._stood = False  # whether an empty match opened a part here, which it may do but once
        self._reader: CallReader | None = None
        self._closing = False  # behind a JSON value of the part
        self._source: list[str] = []  # of the call that is being read, with its anchor
        self._size = 0
        self._is_flagged = self._is_anchored = False
        tail = prompt_tail(answer_format, ready, prompt)
        if tail:
            self._read_prompt(tail)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._text.reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that are complete."""
        return tuple(self._log.calls)

    @property
    def invalid_tool_calls(self) -> tuple[str, ...]:
        """The source of what began as a call and is none; it is in the text, too."""
        return tuple(self._text.invalid)

    def feed(self, text: str) -> list[AnswerPart]:
        """Read on.

        Args:
            text: the next piece of the answer.

        Returns:
            What is certain by now.
        """
        self._buffer = self._buffer[max(self._position - 1, 0) :] + text
        self._position = min(self._position, 1)
        return self._run(final=False)

    def finish(self, *, cut: bool) -> list[AnswerPart]:
        """Read what was held back.

        Args:
            cut: whether the answer was cut off, for example by ``max_tokens``.

        Returns:
            The last parts.
        """
        parts = self._run(final=True, cut=cut)
        self._text.spoil_ends()
        return parts

    def _run(self, *, final: bool, cut: bool = False) -> list[AnswerPart]:
        while self._step(final=final, cut=cut):
            pass
        parts = self._parts[:]
        self._parts.clear()
        return parts

    def _step(self, *, final: bool, cut: bool) -> bool:
        """Read up to the next anchor, and return whether there was one."""
        if self._closing:
            return self._step_closing(final=final)
        if self._reader is not None:
            return self._step_calls(self._reader, final=final, cut=cut)
        found, part, hold = self._look(final=final)
        if found is None:
            end = len(self._buffer) if final else self._before_blanks(hold)
            self._tell(end)
            if final:
                self._text.drop_blanks()
            return False
        self._tell(self._before_blanks(found.start))
        if part is None:
            self._pass(found)
        elif part.kind is Kind.CALLS:
            self._open_calls(part, found)
        else:
            self._open(part, found)
        return True

    # Text and reasoning

    def _look(self, *, final: bool) -> tuple[Found | None, Part | None, int]:
        """Find the next anchor, and the place up to which there is none."""
        best: tuple[Found, Part | None] | None = None
        hold = len(self._buffer)
        for anchor, part in self._watched():
            if part is not None and part.at_start:
                found, place = self._look_at_start(anchor, final=final)
            else:
                found, place = anchor.find(self._buffer, self._position, final=final)
            hold = min(hold, place)
            if found is not None and found.start == found.end and (part is None or self._stood):
                continue  # nothing ends nothing, and begins something but once at one place
            if found is not None and (best is None or _is_before(found, best[0])):
                best = (found, part)
        if best is None or (best[0].start >= hold and not final):
            return None, None, hold
        return *best, hold

    def _watched(self) -> list[tuple[Anchor, Part | None]]:
        if self._part is not self._rest:
            return [] if self._part.close is None else [(self._part.close, None)]
        if self._text.spoilt_close is not None:
            return [*self._watch, (self._text.spoilt_close, None)]
        return self._watch

    def _look_at_start(self, anchor: Anchor, *, final: bool) -> tuple[Found | None, int]:
        end = len(self._buffer)
        if self._text.written[Kind.TEXT] or not isinstance(anchor, Pattern):
            return None, end
        found, certain = anchor.at(self._buffer, self._position, final=final)
        return found, end if certain else self._position

    def _before_blanks(self, end: int) -> int:
        """Return the beginning of the blanks in front of a place."""
        if not self._part.strips:
            return end
        start = max(self._position, end - MOST_BLANKS)
        return start + len(self._buffer[start:end].rstrip(BLANKS))

    def _take(self, end: int) -> str:
        """Move on, and return the text up to there without the prompt's."""
        start, self._position = self._position, end
        self._stood = self._stood and start == end
        if self._foreign:
            own = min(end, start + self._foreign)
            self._foreign -= own - start
            start = own
        return self._buffer[start:end]

    def _tell(self, end: int) -> None:
        """Tell the text up to a place."""
        if self._foreign and end > self._position:
            self._text.written[self._part.kind] = True  # in the prompt
        self._text.write(self._part.kind, self._take(end))

    def _pass(self, found: Found) -> None:
        """Go past an anchor that ends a part, or that means nothing."""
        text = self._take(found.end)
        if self._text.spoilt and self._part is self._rest:
            self._text.write(self._part.kind, text)  # it ends a call that is none
            self._text.spoil_ends()
            return
        self._text.spoil_ends()
        self._text.drop_blanks()
        self._text.skip(text)
        self._part = self._rest
        self._text.begin(self._part)

    def _open(self, part: Part, found: Found) -> None:
        self._text.spoil_ends()
        self._text.drop_blanks()
        self._text.skip(self._take(found.end))
        self._stood = found.start == found.end
        self._part = part
        self._text.begin(part, joined=True)

    # Calls

    def _open_calls(self, part: Part, found: Found) -> None:
        self._text.spoil_ends()
        text = self._take(found.end)
        self._stood = found.start == found.end
        self._part = part
        self._source, self._size = [text], len(text)
        self._is_flagged = self._is_anchored = bool(text.strip())
        if self._log.is_full:
            self._fail(closed=False)
            return
        self._reader = part.reader(dict(found.groups), self._tools, self._log, anchored=self._is_flagged)

    def _step_calls(self, reader: CallReader, *, final: bool, cut: bool) -> bool:
        start, started = self._position, self._log.started
        state, end = reader.feed(self._buffer, start, final=final)
        closed = reader.closes and state is not Reading.MORE
        if state is Reading.MORE and final:
            end = len(self._buffer)
            state = reader.finish(cut=cut)
            closed = True
        if reader.settled >= 0:
            self._text.skip("".join([*self._source, self._take(reader.settled)]))
            self._source, self._size = [], 0
            self._is_flagged = True
        text = self._take(end)
        self._source.append(text)
        self._size += len(text)
        self._is_flagged = self._is_flagged or self._log.started > started
        if state is Reading.MORE:
            if self._size <= _MOST_SOURCE:
                return False
            state = Reading.WRONG
        if state is Reading.WRONG:
            self._fail(closed=closed)
            return True
        self._reader = None
        if closed or (self._part.closing is None and self._part.next_value is None):
            self._calls_end()
        else:
            self._closing = True
        return True

    def _step_closing(self, *, final: bool) -> bool:
        """Look for the anchor behind a JSON value, or for another value."""
        certain = True
        for pattern, is_next in ((self._part.closing, False), (self._part.next_value, True)):
            if pattern is None:
                continue
            found, sure = pattern.at(self._buffer, self._position, final=final)
            certain = certain and sure
            if found is None or not sure:
                continue
            self._closing = False
            if is_next and not self._log.is_full:
                self._text.skip("".join(self._source))
                self._source = [self._take(found.end)]
                self._size = 0
                self._reader = self._part.reader({}, self._tools, self._log, anchored=self._is_anchored)
                return True
            if not is_next:
                self._source.append(self._take(found.end))
                self._calls_end()
                return True
        if certain:
            self._calls_end()
        return certain

    def _calls_end(self) -> None:
        self._text.drop_blanks()
        self._text.skip("".join(self._source))
        self._source = []
        self._reader, self._closing = None, False
        self._part = self._rest
        self._text.begin(self._part)

    def _fail(self, *, closed: bool) -> None:
        """Make text of what began as a call."""
        source, self._source = "".join(self._source), []
        close, flagged = self._part.close, self._is_flagged
        self._reader, self._part = None, self._rest
        if flagged and source:
            self._text.spoil(close)
        self._text.write(self._part.kind, source)
        if closed or close is None:
            self._text.spoil_ends()

    # The prompt

    def _read_prompt(self, tail: str) -> None:
        """Read the beginning of the answer that is in the prompt; nothing of it is told again."""
        self._buffer = tail
        self._run(final=False)
        rest = self._buffer[self._position :]
        if not rest.strip(BLANKS):
            self._position = len(self._buffer)
        self._foreign = len(self._buffer) - self._position
        self._source = []
        self._text.restart()
        self._log.restart(in_call=self._reader is not None)


def _is_before(one: Found, other: Found) -> bool:
    return (one.start, -one.end) < (other.start, -other.end)
