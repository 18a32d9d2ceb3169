"""Markdown drawn on a terminal as it arrives."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

from nupic_client.cli.answer import AnswerOutput
from nupic_client.cli.terminal import colours, shown_on_stdout, writing
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.segment import Segment

__all__ = ["Blocks", "MarkdownOutput", "check_markdown"]

_PER_SECOND = 10
_STYLES = {"markdown.code": "bold cyan", "markdown.code_block": "cyan"}
"""Without backgrounds, which fit to dark terminals only."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_PART = re.compile(r"[^\n]*\n|[^\n]+")
_SCREENS = 8
"""How much of the end of a long block is drawn as it grows, in screens of text: a paragraph's lines are drawn as fewer."""


def check_markdown(*, asked: bool) -> None:
    """Check that Markdown can be drawn, where it is asked for and would be.

    Raises:
        ConfigurationError: the library for it is not installed.
    """
    if asked and colours() and importlib.util.find_spec("rich") is None:
        raise ConfigurationError(
            "--markdown needs rich, which is not installed: pip install 'nupic-client[chat]'"
        )


class MarkdownOutput(AnswerOutput):
    """Draw an answer: blocks that are complete once and for all, and the last one anew as it grows.

    Args:
        reasoning: as for `AnswerOutput`; it is not drawn.
    """

    def __init__(self, *, reasoning: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - of the extra chat
        from rich.live import Live  # noqa: PLC0415
        from rich.theme import Theme  # noqa: PLC0415

        super().__init__(reasoning=reasoning)
        self._begun = False
        self._blocks = Blocks()
        self._console: Any = Console(highlight=False, emoji=False, theme=Theme(_STYLES))
        self._live: Any = Live(
            console=self._console,
            refresh_per_second=_PER_SECOND,
            transient=True,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self._drawing,
        )

    def write(self, text: str) -> None:
        """Draw a chunk of the answer; raises as `take`."""
        self.end_thinking()
        complete = self._blocks.take(shown_on_stdout(text))
        with writing():
            if not self._begun:
                self._begun = True
                self._live.start()
            if complete:
                self._print(complete)
                self._console.print()

    def end(self) -> None:
        """Draw what is left once and for all; raises as `take`."""
        if self._begun:
            self._begun = False
            rest, self._blocks = self._blocks.rest, Blocks()
            with writing():
                self._live.stop()
                self._print(rest)
        super().end()

    def _drawing(self) -> RenderableType:
        """Return the last block, or as much of its end as the terminal has lines for.

        The cursor is on an empty line after it: what the terminal itself shows of Ctrl-C must not change a line.
        """
        width, height = self._console.size
        most = _SCREENS * height
        lines = self._lines(self._blocks.tail(most, most * width))
        return _segments(lines[-max(height - 3, 1) :], last=" ")

    def _print(self, text: str) -> None:
        lines = self._lines(text)
        self._console.print(_segments(lines), end="")

    def _lines(self, text: str) -> list[list[Segment]]:
        """Return the lines of a drawing, without the blanks that fill them up."""
        from rich.markdown import Markdown  # noqa: PLC0415 - of the extra chat

        # A link of the terminal would hide where it leads.
        lines = self._console.render_lines(
            Markdown(text, hyperlinks=False, code_theme="ansi_dark"), pad=False
        )
        drawn = [_without_filling(line) for line in lines]
        while drawn and not drawn[0]:
            drawn.pop(0)
        while drawn and not drawn[-1]:
            drawn.pop()
        return drawn


def _without_filling(line: list[Segment]) -> list[Segment]:
    """Return a line without the blanks at its end that have no colour."""
    kept = [*line]
    while kept:
        last = kept.pop()
        colour = last.style.bgcolor if last.style else None
        text = last.text.rstrip() if colour is None or colour.is_default else last.text
        if text:
            return [*kept, last._replace(text=text)]
    return kept


def _segments(lines: list[list[Segment]], last: str = "") -> RenderableType:
    from rich.segment import Segment, Segments  # noqa: PLC0415 - of the extra chat

    shown = [part for line in lines for part in (*line, Segment.line())]
    return Segments([*shown, Segment(last)])


class Blocks:
    """The blocks that nothing can change any more, of a Markdown text that arrives in chunks.

    Each line is looked at once, however small the chunks are. A block ends with an empty line, outside of code, that is
    followed by a line without an indent.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        """The chunks of the line that has no end yet."""
        self._fence = ""
        self._opened = 0
        """The number of the line that began the code."""
        self._was_empty = False

    @property
    def rest(self) -> str:
        """The text since the last block that is complete."""
        return "".join([*self._lines, *self._line])

    def take(self, text: str) -> str:
        """Take a chunk and return the blocks that are complete with it."""
        complete: list[str] = []
        for part in _PART.findall(text):
            if not self._line and self._was_empty and not part[0].isspace():
                complete += self._lines
                self._lines = []
            self._line.append(part)
            if part.endswith("\n"):
                line = "".join(self._line)
                self._line = []
                self._lines.append(line)
                self._see(line)
        return "".join(complete)

    def tail(self, lines: int, characters: int) -> str:
        """Return the end of the rest, at most so many lines and characters; in code, after the line that says so."""
        kept: list[str] = []
        left = characters
        for line in reversed([*self._lines[-lines:], "".join(self._line[-characters:])]):
            if left <= 0:
                break
            kept.append(line[-left:])
            left -= len(line)
        is_cut = self._fence and self._opened < len(self._lines) + 1 - len(kept)
        return "".join([self._lines[self._opened] if is_cut else "", *reversed(kept)])

    def _see(self, line: str) -> None:
        mark = _FENCE.match(line)
        if mark and not self._fence:
            self._fence, self._opened = mark[1], len(self._lines) - 1
        elif mark and line.strip().startswith(self._fence) and not line.strip().strip(self._fence[0]):
            self._fence = ""
        self._was_empty = not line.strip() and not self._fence
