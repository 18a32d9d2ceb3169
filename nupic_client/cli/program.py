"""The program `nupic-client`: its commands and its exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from nupic_client._terminal import is_terminal
from nupic_client._version import __version__
from nupic_client.cli import (
    batch,
    bench,
    chat,
    completion,
    embed,
    generate,
    health,
    infer,
    models,
    prompt,
    serve,
)
from nupic_client.cli.error_rendering import error_text
from nupic_client.cli.exit_codes import EPILOG, ExitCode, exit_code_of
from nupic_client.cli.terminal import (
    OutputError,
    abandon_stdout,
    complain,
    finish_stdout,
    prepare_stdout,
    say,
)
from nupic_client.cli.usage import Parser
from nupic_client.errors import NupicError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "parser"]


_EXAMPLES = """\
examples:
  nupic-client generate "Why is the sky blue?"      where no server runs, an embedded one does
  git diff | nupic-client generate -s "Write a commit message."
  nupic-client chat --url gpu:8001 --model llama3
  nupic-client COMMAND --help                       explains a command
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line program and return its exit code.

    Args:
        argv: the arguments; None for those of the process.

    Raises:
        SystemExit: by argparse, with code 0 after ``--help`` and ``--version`` and code 2 for wrong arguments.
    """
    # gRPC's C core reads this at import; by default it logs to stderr when a server goes away.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    prepare_stdout()  # first: --help is written by argparse
    try:
        code = _run(parser().parse_args(argv))
        return code if finish_stdout() else ExitCode.FAILED
    except SystemExit:
        if not finish_stdout():
            return ExitCode.FAILED
        raise
    except OutputError as error:
        abandon_stdout()
        complain(error.message)
        return ExitCode.FAILED
    except KeyboardInterrupt:
        if is_terminal(sys.stderr):
            say("")  # the terminal shows ^C, and the shell's prompt has a line of its own
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe, as in `nupic-client generate … | head`.
        abandon_stdout()
        return ExitCode.OK


def _run(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.run(arguments)
    except OutputError:
        raise
    except NupicError as error:
        complain(error_text(error, arguments))
        return exit_code_of(error)
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of the program's arguments."""
    parser = Parser(
        prog="nupic-client",
        description="Stream language models from the NuPIC Inference Server and any NVIDIA Triton.",
        epilog=f"{_EXAMPLES}\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nupic-client {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (generate, chat, batch, bench, prompt, embed, infer, models, health, serve, completion):
        command.add_command(commands)
    return parser
