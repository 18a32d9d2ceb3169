'''The messages of a chat as they are typed or piped: a line, a pasted block, or the lines between """ and """.'''

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.cli.stdin import read_lines
from nupic_client.cli.terminal import say
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nupic_client.cli.editor import Editor

__all__ = ["MULTI", "BlockReader", "piped_messages", "typed_messages"]

_PROMPT, _NEXT_PROMPT = ">>> ", "... "
_QUOTES = '"""'
MULTI, _END_OF_MULTI = "/multi", "/end"


class BlockReader:
    """Joins the lines of a block; every other line is a message."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._end = ""

    @property
    def is_open(self) -> bool:
        """Whether a block has begun and not ended."""
        return bool(self._end)

    def take(self, text: str) -> str | None:
        """Take a line, or a pasted block; return the message if it is complete."""
        if self.is_open:
            return self._go_on(text)
        stripped = text.strip()
        if stripped == MULTI:
            self._end = _END_OF_MULTI
            return None
        if not stripped.startswith(_QUOTES):
            return text
        rest = stripped.removeprefix(_QUOTES)
        if _QUOTES not in rest:
            self._end, self._lines = _QUOTES, [rest] if rest else []
            return None
        whole = rest.removesuffix(_QUOTES)
        # A text that only begins with three quotes, as a program does, is a text.
        return text if whole == rest or _QUOTES in whole else whole.strip("\n")

    def close(self) -> str | None:
        """Return the message of a block that was left open; None if there is none."""
        lines, is_open = self._lines, self.is_open
        self._lines, self._end = [], ""
        return "\n".join(lines) if is_open and lines else None

    def _go_on(self, text: str) -> str | None:
        line = text.rstrip()
        if self._end == _END_OF_MULTI:
            if line.strip() == self._end:
                return self.close() or ""
        elif line.endswith(self._end):
            last = line.removesuffix(self._end)
            self._lines += [last] if last else []
            return self.close() or ""
        self._lines.append(text)
        return None


def piped_messages(lost: Callable[[ConfigurationError], object]) -> Iterator[str]:
    """Yield the messages of a pipe.

    Args:
        lost: called for a line that is not text, which is left out.
    """
    reader = BlockReader()
    for line in read_lines(lost):
        message = reader.take(line)
        if message is not None:
            yield message
    rest = reader.close()
    if rest is not None:
        yield rest


def typed_messages(editor: Editor, lost: Callable[[ConfigurationError], object]) -> Iterator[str]:
    """Yield what the user types until the user leaves; Ctrl-C drops what is being typed.

    Args:
        editor: asks for each line.
        lost: called for a line that is not text, which is left out.
    """
    reader = BlockReader()
    while True:
        try:
            message = reader.take(editor.ask(_NEXT_PROMPT if reader.is_open else _PROMPT))
        except ConfigurationError as error:
            lost(error)
            continue
        except EOFError:
            say("")
            if not reader.is_open:
                return
            message = reader.close()
        except KeyboardInterrupt:
            reader.close()
            say("\n(Ctrl-D or /exit leaves)")
            continue
        if message is not None:
            editor.remember(message)
            yield message
