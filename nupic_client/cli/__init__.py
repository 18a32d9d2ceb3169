"""The command `nupic-client`: stream a model's text to a terminal, chat with it, serve the embedded one.

Text goes to stdout and everything else to stderr, so that a pipe gets the text alone. Nothing heavy is
imported before a command needs it: `nupic-client --help` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_INTERRUPTED = 130
"""`ExitCode.INTERRUPTED`, which may not have been imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code, see `nupic_client.cli.program.main`; Ctrl-C ends the imports, too."""
    try:
        from nupic_client.cli import program  # noqa: PLC0415 - as above

        return program.main(argv)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # Python before 3.12, where a class is made
            return _INTERRUPTED
        raise
