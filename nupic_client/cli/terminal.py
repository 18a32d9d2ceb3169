"""What is written, to a terminal or elsewhere: text on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from typing import TYPE_CHECKING

from nupic_client._terminal import is_terminal
from nupic_client.display import HIDDEN, printable, printable_lines
from nupic_client.errors import NupicError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

__all__ = [
    "OutputError",
    "TextOutput",
    "abandon_stdout",
    "colours",
    "complain",
    "finish_stdout",
    "is_interactive",
    "json_text",
    "prepare_stdout",
    "printable",
    "say",
    "shell_text",
    "shown_on",
    "shown_on_stdout",
    "writing",
]


class OutputError(NupicError):
    """Stdout cannot be written, for example because a disk is full."""


def say(line: str) -> None:
    """Write a line to stderr; what stderr does not take is lost, because there is no other place to say it."""
    if sys.stderr is None:
        return
    try:
        print(shown_on(sys.stderr, line), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _abandon(sys.stderr)


def complain(message: str) -> None:
    """Write an error to stderr, as argparse does."""
    say(f"nupic-client: error: {message}")


class TextOutput:
    """Write chunks of text to stdout as they arrive, and end the last line.

    On a terminal, characters that could control it are shown as symbols; a pipe gets the text as it is.
    """

    def __init__(self) -> None:
        self._line_is_open = False

    def write(self, text: str) -> None:
        """Write a chunk of text and flush it.

        Raises:
            OutputError: stdout does not take it.
            BrokenPipeError: its reader has gone.
        """
        self.write_styled(shown_on_stdout(text))

    def write_styled(self, text: str) -> None:
        """Write text that controls the terminal on purpose; `printable` has made the rest of it harmless."""
        with writing():
            sys.stdout.write(text)
            sys.stdout.flush()
        self._line_is_open = not text.endswith("\n")

    def end(self) -> None:
        """Write a newline if the text does not end with one."""
        if self._line_is_open:
            self.write("\n")


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Turn a failure of stdout into a sentence.

    Raises:
        OutputError: stdout does not take the text.
        BrokenPipeError: its reader has gone.
    """
    if sys.stdout is None:
        raise OutputError("stdout must be open, not closed")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if sys.platform == "win32" and error.errno == errno.EINVAL:  # a pipe whose reader has gone
            raise BrokenPipeError from None
        raise OutputError(f"stdout cannot be written: {error.strerror or error}") from None


def json_text(value: object) -> str:
    """Return a value as JSON for stdout: escaped where its encoding or a terminal cannot show a character."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return json.dumps(value)
    if is_terminal(sys.stdout):
        return HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text)
    return text


def prepare_stdout() -> None:
    """Make stdout write a question mark for characters that its encoding lacks: a model may write any."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in {"strict", "surrogateescape"}:
        sys.stdout.reconfigure(errors="replace")


def finish_stdout() -> bool:
    """Flush stdout; return whether that succeeded. If not, the failure is told, and the interpreter's own flush is quiet."""
    try:
        if sys.stdout is not None:
            with writing():
                sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
    except OutputError as error:
        complain(error.message)
        abandon_stdout()
        return False
    return True


def abandon_stdout() -> None:
    """Let the interpreter's last flush of a broken stdout succeed."""
    if sys.stdout is not None:
        _abandon(sys.stdout)


def _abandon(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):  # a stream without a file descriptor has nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def colours() -> bool:
    """Return whether stdout shows colours: it is a terminal, and NO_COLOR (https://no-color.org) is not set."""
    return is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def shown_on(stream: TextIO, text: str) -> str:
    """Return a text as a stream should get it: for a terminal with symbols for all controls but newline and tab."""
    return printable_lines(text) if is_terminal(stream) else text


def shown_on_stdout(text: str) -> str:
    """Return a text as stdout should get it, see `shown_on`."""
    return text if sys.stdout is None else shown_on(sys.stdout, text)


def is_interactive() -> bool:
    """Return whether the input is typed at a terminal."""
    return is_terminal(sys.stdin)


def shell_text(argument: str) -> str:
    """Return the text of an argument; one that is not of the locale's encoding is UTF-8, as terminals and files are."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        with contextlib.suppress(UnicodeError):
            return os.fsencode(argument).decode()
    return argument
