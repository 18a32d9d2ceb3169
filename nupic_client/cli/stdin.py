"""Stdin as a prompt that nobody named: what a pipe or a file has, without waiting for ever for a pipe that says nothing."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import sys
import threading

from nupic_client.cli.terminal import decoded, is_interactive, read_text, say
from nupic_client.errors import ConfigurationError

__all__ = ["prompt_text"]

_PATIENCE_BESIDE_A_PROMPT = 3.0
"""Seconds for the first byte where there is a prompt already. Cron, CI and ssh leave pipes open that never say anything."""
_PATIENCE_FOR_A_PROMPT = 60.0
"""Seconds for the first byte where stdin would be the prompt."""
_CHUNK = 1 << 16


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
    given = " ".join(words)
    if is_interactive() or sys.stdin is None:
        piped = ""
    else:
        piped = _piped_text(
            _PATIENCE_BESIDE_A_PROMPT if words else _PATIENCE_FOR_A_PROMPT, needed=not words, exact=exact
        )
    if not words:
        if not piped.strip():
            raise ConfigurationError(missing)
        return piped
    return f"{piped.rstrip()}\n\n{given}" if piped.strip() else given


def _piped_text(patience: float, *, needed: bool, exact: bool) -> str:
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError):  # it is no file of the system, or it is closed
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            return read_text(exact=exact)
        return ""
    chunks = _read_on_a_thread(descriptor)
    try:
        chunk = _first(chunks, patience, needed=needed)
    except queue.Empty:
        if needed:
            raise ConfigurationError(
                f"a prompt must be given: nothing came on stdin for {patience:.0f} s. Give - to wait longer"
            ) from None
        say(
            f"nothing came on stdin for {patience:.0f} s: going on without it. Give - to wait for it, or </dev/null"
        )
        return ""
    found = [chunk, *(iter(chunks.get, b"") if chunk else ())]
    return decoded(b"".join(found), exact=exact)


def _first(chunks: queue.SimpleQueue[bytes], patience: float, *, needed: bool) -> bytes:
    if needed:
        with contextlib.suppress(queue.Empty):
            return chunks.get(timeout=_PATIENCE_BESIDE_A_PROMPT)
        say("reading the prompt from stdin …")
    return chunks.get(timeout=patience)


def _read_on_a_thread(descriptor: int) -> queue.SimpleQueue[bytes]:
    """Return the chunks of a file as they come; an empty one is the end. A read that never ends harms nobody there."""
    chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
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
