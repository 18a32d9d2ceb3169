"""Reading from and writing to the terminal: text on stdout, everything else on stderr, prompts from stdin."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "TextOutput",
    "abandon_stdout",
    "colours",
    "complain",
    "is_interactive",
    "prepare_stdout",
    "printable",
    "read_lines",
    "read_text",
    "say",
]

_PROMPT = ">>> "


def say(line: str) -> None:
    """Write a line to stderr."""
    print(line, file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Write an error to stderr, as argparse does."""
    say(f"nupic-client: error: {message}")


class TextOutput:
    """Write chunks of text to stdout as they arrive, and end the last line."""

    def __init__(self) -> None:
        self._line_is_open = False

    def write(self, text: str) -> None:
        """Write a chunk of text and flush it."""
        sys.stdout.write(text)
        sys.stdout.flush()
        self._line_is_open = not text.endswith("\n")

    def end(self) -> None:
        """Write a newline if the text does not end with one."""
        if self._line_is_open:
            self.write("\n")


def prepare_stdout() -> None:
    """Make stdout write a question mark for characters that its encoding lacks: a model may write any."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def abandon_stdout() -> None:
    """Let the interpreter's last flush of a broken stdout succeed."""
    with contextlib.suppress(OSError, ValueError):  # a stdout without a file descriptor has nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def colours() -> bool:
    """Return whether stdout shows colours: it is a terminal, and NO_COLOR (https://no-color.org) is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


_PICTURES = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
}


def printable(text: str) -> str:
    """Return a text with symbols in place of control characters, newlines included: those can control a terminal."""
    return text.translate(_PICTURES)


def is_interactive() -> bool:
    """Return whether the input is typed at a terminal."""
    return sys.stdin.isatty()


def read_text() -> str:
    """Return all of stdin.

    Raises:
        ConfigurationError: it is not text.
    """
    with _decoding():
        return sys.stdin.read()


def read_lines() -> Iterator[str]:
    """Yield the lines of stdin without their ends: typed at a prompt, which Ctrl-C does not leave, or piped.

    Raises:
        ConfigurationError: a piped line is not text.
    """
    if is_interactive():
        return _typed_lines()
    return _piped_lines()


def _piped_lines() -> Iterator[str]:
    with _decoding():
        for line in sys.stdin:
            yield line.rstrip("\r\n")


def _typed_lines() -> Iterator[str]:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401, PLC0415 - gives input() line editing; Windows has no such module
    while True:
        try:
            yield _ask()
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("\n(Ctrl-D or /exit leaves)")


def _ask() -> str:
    if sys.stdout.isatty():
        return input(_PROMPT)
    sys.stderr.write(_PROMPT)  # stdout is for answers only
    sys.stderr.flush()
    return input()


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"stdin must be {error.encoding} text: {error.reason}") from None
