"""`nupic-client generate`: one prompt, one answer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from nupic_client.cli.answer import stream_answer
from nupic_client.cli.connection import connect, formatter_is_known, require_formatter
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.options import add_generation_arguments
from nupic_client.cli.report import as_json, summary
from nupic_client.cli.terminal import TextOutput, read_text, say, shell_text
from nupic_client.errors import ConfigurationError
from nupic_client.messages import Message, system, user

if TYPE_CHECKING:
    from nupic_client.streaming import StreamingClient

__all__ = ["add_command", "run"]


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "generate",
        help="generate a text from a prompt",
        description="Generate a text and print it as it arrives: the text on stdout, everything else on stderr.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("prompt", nargs="+", type=shell_text, help="the prompt; - reads stdin")
    add_generation_arguments(parser)
    parser.add_argument(
        "--raw",
        action="store_true",
        help="send the prompt unchanged, not as a user's message in the model's format",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object at the end: text, finish_reason, usage, timing, model, request_id …",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Generate a text, print it, and print the figures.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    if arguments.raw and (arguments.system is not None or arguments.formatter is not None):
        raise ConfigurationError(
            "--raw must not be given with --system or --formatter: it sends the prompt unchanged"
        )
    prompt = " ".join(
        read_text(exact=arguments.raw) if argument == "-" else argument for argument in arguments.prompt
    )
    if not prompt.strip():
        raise ConfigurationError("the prompt must not be empty")
    output = TextOutput()
    with connect(arguments) as client:
        conversation = _conversation(prompt, arguments, client)
        try:
            show = _ignore if arguments.json else output.write
            generation = stream_answer(lambda: client.stream(conversation), show)
        finally:
            output.end()
    if arguments.json:
        output.write(as_json(generation) + "\n")
    elif not arguments.quiet:
        say(summary(generation))
    return ExitCode.INTERRUPTED if generation.finish_reason == "cancelled" else ExitCode.OK


def _ignore(text: str) -> None:
    """Print no chunk: with --json the text is in the object at the end."""


def _conversation(prompt: str, arguments: argparse.Namespace, client: StreamingClient) -> str | list[Message]:
    if arguments.raw:
        return prompt
    if arguments.system is not None:
        require_formatter(arguments, client)
        return [system(arguments.system), user(prompt.rstrip("\r\n"))]
    return [user(prompt.rstrip("\r\n"))] if formatter_is_known(arguments, client) else prompt
