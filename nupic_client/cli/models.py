"""`nupic-client models`: list the models of a server."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from nupic_client.cli.connection import server_client
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.options import add_server_arguments
from nupic_client.cli.table import table
from nupic_client.cli.terminal import TextOutput, json_text, say

if TYPE_CHECKING:
    from nupic_client.server_info import ModelInfo

__all__ = ["add_command", "run"]

_HEADER = ("NAME", "VERSION", "STATE", "STREAMS", "BACKEND", "FAMILY", "FRIENDLY NAME", "NUPIC")
_STREAMS = {True: "yes", False: "no", None: ""}


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "models",
        help="list the models of a server",
        description="List the models of a server: state, whether they stream, the prompt family that the name\n"
        "implies, the friendly name, and the parts of NuPIC's names.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_server_arguments(parser, title="server", otherwise="", limit="for each call (default: 30)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON array with the fields of ModelInfo"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Ask for the models and print them.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    with contextlib.ExitStack() as stack:
        client = server_client(stack, arguments)
        models = client.models()
    output = TextOutput()
    if arguments.json:
        output.write(json_text([dataclasses.asdict(model) for model in models]) + "\n")
    elif models:
        output.write_styled(_table(models))
    else:
        say(f"the server at {client.url} has no models")
    return ExitCode.OK


def _table(models: list[ModelInfo]) -> str:
    rows = [
        (
            model.name,
            model.version,
            model.state,
            _STREAMS[model.streams],
            model.backend,
            model.family or "",
            model.friendly_name or "",
            _nupic_parts(model),
            model.reason,
        )
        for model in models
    ]
    # Only models that are not ready have a reason.
    if any(model.reason for model in models):
        return table((*_HEADER, "REASON"), rows)
    return table(_HEADER, [row[:-1] for row in rows])


def _nupic_parts(model: ModelInfo) -> str:
    parts = model.parts
    if not parts.vendor:
        return ""
    return " ".join(part for part in (parts.family, parts.size, f"v{parts.version}", parts.variant) if part)
