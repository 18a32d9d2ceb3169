"""The progress of a download for a person: a line on the terminal, else lines of the log."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading

from nupic_client._terminal import is_terminal

__all__ = ["ProgressLine", "ProgressLog", "default_progress"]

_log = logging.getLogger("nupic_client.local")
_PHASES = {
    "download": "downloading the language model",
    "extract": "unpacking the language model",
    "install": "installing the real Triton",
}


def default_progress() -> ProgressLine | ProgressLog:
    """Return what shows the progress where the caller shows none: on a terminal a line, else lines of the log."""
    return ProgressLine() if is_terminal(sys.stderr) else ProgressLog()


class ProgressLine:
    """Show the progress of a download on stderr: redrawn on a terminal, else one line per phase.

    Example:
        >>> progress = ProgressLine()
        >>> progress("download", 0, 92_871_040)  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._phase = ""
        self._lock = threading.Lock()
        self._ended = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show the progress of a phase: ``done`` of ``total`` bytes."""
        with self._lock:
            if self._ended:
                return
            line = _words(what, total)
            if not is_terminal(sys.stderr):
                if what != self._phase:
                    _write(f"{line}\n")
            else:
                end = "" if self._phase in {"", what} else "\n"
                _write(f"{end}\r{line} {100 * done // max(total, 1):3d} %")
            self._phase = what

    def end(self) -> None:
        """End the redrawn line, if there is one; nothing is drawn after it."""
        with self._lock:
            if self._phase and not self._ended and is_terminal(sys.stderr):
                _write("\n")
            self._ended = True


class ProgressLog:
    """Log the phases of a download at INFO, under ``nupic_client.local``."""

    def __init__(self) -> None:
        self._phase = ""

    def __call__(self, what: str, done: int, total: int) -> None:  # noqa: ARG002 - as it is called
        """Log the beginning of a phase."""
        if what != self._phase:
            self._phase = what
            _log.info("%s", _words(what, total))

    def end(self) -> None:
        """Do nothing: each line of a log is complete."""


def _words(what: str, total: int) -> str:
    return f"{_PHASES.get(what, what)} ({total / 1e6:.0f} MB, only this once)"


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody is there to read it
        sys.stderr.write(text)
        sys.stderr.flush()
