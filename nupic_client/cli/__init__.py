"""The command `nupic-client`: stream a model's text to a terminal, chat with it, serve the embedded one.

Text goes to stdout and everything else to stderr, so that a pipe gets the text alone. Nothing heavy is
imported before a command needs it: `nupic-client --help` answers at once.
"""

from __future__ import annotations

from nupic_client.cli.program import main

__all__ = ["main"]
