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

__all__ = ["MarkdownOutput", "check_markdown", "split_blocks"]

_PER_SECOND = 10
_STYLES = {"markdown.code": "bold cyan", "markdown.code_block": "cyan"}
"""Without backgrounds, which fit to dark terminals only."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


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
        self._rest = ""
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
        self._rest += shown_on_stdout(text)
        complete, self._rest = split_blocks(self._rest)
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
            rest, self._rest = self._rest, ""
            with writing():
                self._live.stop()
                self._print(rest)
        super().end()

    def _drawing(self) -> RenderableType:
        """Return the last block, or as much of its end as the terminal has lines for.

        The cursor is on an empty line after it: what the terminal itself shows of Ctrl-C must not change a line.
        """
        lines = self._lines(self._rest)
        return _segments(lines[-max(self._console.height - 3, 1) :], last=" ")

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


def split_blocks(text: str) -> tuple[str, str]:
    """Return the blocks of a Markdown text that nothing can change any more, and the rest.

    A block ends with an empty line, outside of code, that is followed by a line without an indent.
    """
    fence = ""
    place = end = 0
    was_empty = False
    for line in text.splitlines(keepends=True):
        if was_empty and not fence and line.strip() and not line[0].isspace():
            end = place
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        was_empty = not line.strip() and not fence
        place += len(line)
    return text[:end], text[end:]
