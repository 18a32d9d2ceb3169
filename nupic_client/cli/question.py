"""A question to the user at the terminal, whose answer is yes or no."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from nupic_client._terminal import is_terminal
from nupic_client.cli.terminal import is_interactive, say, shown_on

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["can_ask", "confirm"]


def can_ask() -> bool:
    """Return whether a question can be seen and answered."""
    return is_interactive() and _screen() is not None


def confirm(text: str, question: str) -> bool:
    """Ask the user and return whether the answer is yes; every other one, and the end of the input, is no.

    Only what is typed after the question counts: a line that was pasted or typed ahead allows nothing.

    Args:
        text: what is asked about, on lines of its own.
        question: ends with its possible answers.

    Raises:
        KeyboardInterrupt: Ctrl-C in place of an answer.
    """
    screen = _screen()
    if screen is None:
        return False
    _forget_typed()
    screen.write(f"{shown_on(screen, text)}\n")
    screen.flush()
    try:
        if screen is sys.stdout:
            answer = input(question)
        else:
            screen.write(question)
            screen.flush()
            answer = input()
    except EOFError:
        say("")
        return False
    except UnicodeDecodeError:
        return False
    return answer.strip().lower() in {"y", "yes"}


def _screen() -> TextIO | None:
    """Return what the user sees; stdout first, because the lines are edited there."""
    return next((stream for stream in (sys.stdout, sys.stderr) if is_terminal(stream)), None)


def _forget_typed() -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - of Windows only

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios  # noqa: PLC0415 - not of Windows

        with contextlib.suppress(termios.error, OSError, ValueError):
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
