"""What is read from stdin: what the user types, and what a pipe or a file has.

A pipe that nobody named is not waited for without an end: cron, CI and ssh leave pipes open that never say anything.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING

from nupic_client._terminal import is_terminal
from nupic_client.cli.terminal import is_interactive, say
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

__all__ = ["prompt_text", "read_lines", "read_text", "typed_text", "unnamed_lines", "whole"]

_PROMPT = ">>> "
_BYTE_ORDER_MARK = "\ufeff"
"""What some programs of Windows put before UTF-8."""
_PATIENCE_BESIDE_A_PROMPT = 3.0
"""Seconds for the first byte where there is a prompt already."""
_PATIENCE_FOR_A_PROMPT = 60.0
"""Seconds for the first byte where stdin would be the prompt."""
_CHUNK = 1 << 16
_CHUNKS_AHEAD = 16
"""How many chunks are read before somebody wants them: a pipe may never end."""


def prompt_text(
    words: list[str],
    *,
    exact: bool = False,
    missing: str = "a prompt must be given, as an argument or on stdin",
) -> str:
    """Return the prompt of a command: its arguments, with stdin in the place of ``-``.

    Where no argument is ``-`` and stdin is a pipe or a file, its text stands before that of the arguments, with an empty
    line between them. A terminal is not read, and neither is a pipe that says nothing: without arguments that is an error.

    Args:
        words: the arguments.
        exact: leave the ends of lines of stdin as they are.
        missing: what is said where there is no prompt.

    Raises:
        ConfigurationError: there is no prompt, or stdin is no text.
    """
    if "-" in words:
        return " ".join(read_text(exact=exact) if word == "-" else word for word in words)
    piped = _decoded_text(b"".join(_unnamed(None if words else missing)), exact=exact)
    if not words:
        if not piped.strip():
            raise ConfigurationError(missing)
        return piped
    given = " ".join(words)
    return f"{piped.rstrip()}\n\n{given}" if piped.strip() else given


def unnamed_lines(*, missing: str) -> Iterator[str]:
    """Yield the lines of a pipe or a file on stdin, without their ends, for a command without arguments.

    Args:
        missing: what is said where there are none.

    Raises:
        ConfigurationError: there are none, or one is no text.
    """
    line = None
    for line in _texts(_lines_of(_unnamed(missing))):
        if isinstance(line, ConfigurationError):
            raise line
        yield line
    if line is None:
        raise ConfigurationError(missing)


def _unnamed(missing: str | None) -> Iterator[bytes]:
    """Yield the chunks of stdin as they come, if it is a pipe or a file and begins to say something.

    Args:
        missing: what is said if it is not; None where it need not.
    """
    if is_interactive() or sys.stdin is None:
        return
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError):  # it is no file of the system, or it is closed
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            yield read_text(exact=True).encode()
        return
    chunks = _read_on_a_thread(descriptor)
    patience = _PATIENCE_BESIDE_A_PROMPT if missing is None else _PATIENCE_FOR_A_PROMPT
    try:
        chunk = _first(chunks, patience, needed=missing is not None)
    except queue.Empty:
        silence = f"nothing came on stdin for {patience:.0f} s"
        if missing is not None:
            raise ConfigurationError(f"{missing}: {silence}. Give - to wait longer") from None
        say(f"{silence}: going on without it. Give - to wait for it, or </dev/null")
        return
    while chunk:
        yield chunk
        chunk = chunks.get()


def _first(chunks: queue.Queue[bytes], patience: float, *, needed: bool) -> bytes:
    if needed:
        with contextlib.suppress(queue.Empty):
            return chunks.get(timeout=_PATIENCE_BESIDE_A_PROMPT)
        say("reading stdin …")
    return chunks.get(timeout=patience)


def _read_on_a_thread(descriptor: int) -> queue.Queue[bytes]:
    """Return the chunks of a file as they come; an empty one is the end. A read that never ends harms nobody there."""
    chunks: queue.Queue[bytes] = queue.Queue(_CHUNKS_AHEAD)
    own = os.dup(descriptor)  # a number that is closed meanwhile may be that of another file

    def read() -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = os.read(own, _CHUNK)
            except OSError:  # a folder, or a terminal in the background: there is nothing to read
                chunk = b""
            chunks.put(chunk)
        os.close(own)

    threading.Thread(target=read, name="nupic_client.stdin", daemon=True).start()
    return chunks


def read_text(*, exact: bool = False) -> str:
    """Return all of stdin, which is UTF-8 whatever the machine's own encoding is.

    Args:
        exact: leave the ends of lines as they are; otherwise they become newlines.

    Raises:
        ConfigurationError: it is not text.
    """
    stdin = _stdin()
    if is_interactive() or not hasattr(stdin, "buffer"):
        with _typing():
            return stdin.read()
    return _decoded_text(stdin.buffer.read(), exact=exact)


def _decoded_text(data: bytes, *, exact: bool = False) -> str:
    """Return the text of what stdin had; see `read_text`."""
    text = _decoded(data, line=1).removeprefix(_BYTE_ORDER_MARK)
    return text if exact else text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(lost: Callable[[ConfigurationError], object] | None = None) -> Iterator[str]:
    """Yield the lines of stdin without their ends: typed at a prompt, which Ctrl-C does not leave, or piped as UTF-8.

    Args:
        lost: called for a line that is not text, which is left out.

    Raises:
        ConfigurationError: a line is not text, and there is no ``lost``.
    """
    lines = _typed_lines() if is_interactive() else _piped_lines()
    for line in lines:
        if isinstance(line, str):
            yield line
        elif lost is None:
            raise line
        else:
            lost(line)


def _piped_lines() -> Iterator[str | ConfigurationError]:
    stdin = _stdin()
    if not hasattr(stdin, "buffer"):
        yield from (line.rstrip("\r\n") for line in stdin)
        return
    yield from _texts(stdin.buffer)


def _texts(lines: Iterable[bytes]) -> Iterator[str | ConfigurationError]:
    """Yield lines as texts without their ends, and the error in place of one that is no text."""
    for number, line in enumerate(lines, 1):
        try:
            text = _decoded(line, line=number)
        except ConfigurationError as error:
            yield error
            continue
        yield (text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text).rstrip("\r\n")


def _lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    line: list[bytes] = []
    for chunk in chunks:
        for part in chunk.splitlines(keepends=True):
            line.append(part)
            if part.endswith(b"\n"):
                yield b"".join(line)
                line = []
    if line:
        yield b"".join(line)


def _typed_lines() -> Iterator[str | ConfigurationError]:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401, PLC0415 - gives input() line editing; Windows has no such module
    while True:
        try:
            line = typed_text(_PROMPT)
        except ConfigurationError as error:
            yield error
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("\n(Ctrl-D leaves)")
        else:
            yield line


def typed_text(prompt: str) -> str:
    """Return a line that is typed at a prompt, without its end.

    Raises:
        ConfigurationError: it is not text.
        EOFError: there is no more.
        KeyboardInterrupt: Ctrl-C in place of it.
    """
    with _typing():
        if is_terminal(sys.stdout):
            return whole(input(prompt))
        sys.stderr.write(prompt)  # stdout is for answers only
        sys.stderr.flush()
        return whole(input())


def whole(line: str) -> str:
    """Return a line as it was typed: bytes that are none of the locale's encoding are UTF-8, as terminals send it.

    Raises:
        ConfigurationError: they are not.
    """
    with _typing(), contextlib.suppress(UnicodeEncodeError):
        return line.encode("utf-8", "surrogateescape").decode()
    return line


def _stdin() -> TextIO:
    if sys.stdin is None:
        raise ConfigurationError("stdin must be open, not closed")
    return sys.stdin


def _decoded(data: bytes, *, line: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        place = error.start - (data.rfind(b"\n", 0, error.start) + 1)
        raise ConfigurationError(
            f"stdin must be UTF-8 text, not with byte 0x{data[error.start]:02x} at position {error.start} (line {line},"
            f" byte {place + 1}): convert it, as iconv -f latin1 -t utf-8 does"
        ) from None


@contextlib.contextmanager
def _typing() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the line must be {error.encoding} text, as the terminal's locale says: {error.reason}"
        ) from None
