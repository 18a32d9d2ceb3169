"""The exit codes of `nupic-client`, and the errors that lead to them."""

from __future__ import annotations

from enum import IntEnum

from nupic_client.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    LocalModelError,
    NupicError,
    PromptError,
    UnknownModelError,
)

__all__ = ["ExitCode", "exit_code_of"]


class ExitCode(IntEnum):
    """The outcome of a run, for scripts."""

    OK = 0
    """Success; for ``serve``, it was stopped."""
    FAILED = 1
    """The server was reached, but the request failed."""
    USAGE = 2
    """An argument or option is wrong; nothing was sent."""
    NO_SERVER = 3
    """The server cannot be reached, or the embedded one cannot run here."""
    SOME_FAILED = 3
    """Of ``batch``: it went to its end, and some lines failed."""
    TIMEOUT = 4
    """The time limit passed before the answer was complete."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it: 128 + SIGINT."""


EPILOG = """\
exit codes:
  0    all went well
  1    the request failed
  2    an argument or option is wrong; nothing was sent
  3    the server cannot be reached, or the embedded one cannot run here
  4    the time limit passed
  130  interrupted with Ctrl-C
"""
"""The exit codes, for the end of a help text."""


def exit_code_of(error: NupicError) -> ExitCode:
    """Return the exit code for an error."""
    if isinstance(error, DeadlineExceededError):
        return ExitCode.TIMEOUT
    if isinstance(error, (ConnectionFailedError, LocalModelError)):
        return ExitCode.NO_SERVER
    if isinstance(error, (ConfigurationError, PromptError, UnknownModelError)):
        return ExitCode.USAGE
    return ExitCode.FAILED
