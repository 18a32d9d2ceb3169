"""`nupic-client embed`: texts to vectors."""

from __future__ import annotations

import argparse
import itertools
import json
from typing import TYPE_CHECKING, Any

from nupic_client.cli.connection import connect_inference
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.options import EMBEDDING_MODEL, add_server_arguments
from nupic_client.cli.stdin import read_lines, unnamed_lines
from nupic_client.cli.terminal import TextOutput, shell_text
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["add_command", "run"]

_AT_ONCE = 256
"""Texts that are read before their vectors are printed, which keeps memory flat and requests full."""


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "embed",
        help="turn texts into vectors",
        description="Turn texts into vectors, and print one JSON array of numbers per line.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "texts",
        nargs="*",
        type=shell_text,
        metavar="TEXT",
        help="a text; - reads the lines of stdin. Without any, the lines of a pipe are read",
    )
    server = add_server_arguments(
        parser,
        title="server and model",
        otherwise="; where nothing answers, the embedded server is started",
        limit="for each request (default: 600)",
    )
    server.add_argument(
        "-m",
        "--model",
        default=EMBEDDING_MODEL,
        help="a friendly name or the server's own name (default: %(default)s)",
    )
    server.add_argument(
        "--output", metavar="NAME", help="the output with the vectors, if the model has several"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Embed the texts and print their vectors.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    texts = _texts(arguments.texts)
    some = list(itertools.islice(texts, _AT_ONCE))  # first: an embedded server is not started for no text
    output = TextOutput()
    with connect_inference(arguments) as client:
        while some:
            for vector in client.embed(some, output=arguments.output):
                # The shortest decimal that reads back as the same 32-bit number.
                output.write(json.dumps([float(str(number)) for number in vector]) + "\n")
            some = list(itertools.islice(texts, _AT_ONCE))
    return ExitCode.OK


def _texts(given: list[str]) -> Iterator[str]:
    if not given:
        lines = unnamed_lines(missing="a text must be given, as an argument or on stdin")
        yield from (_checked_line(number, line) for number, line in enumerate(lines, 1))
    for text in given:
        if text != "-":
            yield _checked(text, "a text is empty")
            continue
        yield from (_checked_line(number, line) for number, line in enumerate(read_lines(), 1))


def _checked_line(number: int, line: str) -> str:
    return _checked(line, f"line {number} of stdin is empty")


def _checked(text: str, complaint: str) -> str:
    if not text.strip():
        raise ConfigurationError(complaint)
    return text
