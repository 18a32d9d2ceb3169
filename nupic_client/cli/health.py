"""`nupic-client health`: whether a server and a model are ready, for people and for scripts."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nupic_client._terminal import is_terminal
from nupic_client.cli.connection import server_client
from nupic_client.cli.error_rendering import error_text
from nupic_client.cli.exit_codes import ExitCode
from nupic_client.cli.options import add_server_arguments
from nupic_client.cli.presence import why_not_ready
from nupic_client.cli.terminal import TextOutput, complain, json_text, printable, say
from nupic_client.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
)

if TYPE_CHECKING:
    import nupic_client
    from nupic_client.errors import RequestError

__all__ = ["add_command", "run"]

_UNSAID = 1.0
"""Seconds of waiting that nobody needs to be told of."""
_EPILOG = """\
exit codes:
  0    everything asked for is ready, on each of the servers
  1    the server can be reached, but something is not ready; of several servers, some are ready or can be reached
  2    an argument or option is wrong
  3    the server cannot be reached
"""


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "health",
        help="tell whether a server and a model are ready",
        description="Ask a server whether it is live and ready, and with --model whether a model is.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    server = add_server_arguments(
        parser, title="server and model", otherwise="", limit="for each call (default: 30)"
    )
    server.add_argument(
        "-m", "--model", default="", help="also ask for this model: a friendly name or the server's own"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="wait up to SECONDS until everything is ready",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object for each server, on a line of its own"
    )
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class _Health:
    """The state of a server; the names of the fields are those of the JSON object."""

    url: str
    live: bool = False
    ready: bool = False
    name: str = ""
    version: str = ""
    model: str | None = None
    model_ready: bool | None = None
    model_reason: str = ""

    @property
    def all_ready(self) -> bool:
        return self.live and self.ready and self.model_ready is not False


def run(arguments: argparse.Namespace) -> ExitCode:
    """Ask the server and print its state.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    if not arguments.wait >= 0:
        raise ConfigurationError(f"--wait must be a number of seconds >= 0, not {arguments.wait}")
    with contextlib.ExitStack() as stack:
        client = server_client(stack, arguments)
        if arguments.wait:
            _wait(client, arguments.model, arguments.wait)
        try:
            each = client.each()
        except ConnectionFailedError as error:
            return _unreachable(client.url, error, arguments)
        codes: list[ExitCode] = []
        for one in each.values():
            if codes and not arguments.json:
                TextOutput().write("\n")
            codes.append(_report(one, arguments))
    # Of several servers, some may be reached.
    return codes[0] if len(set(codes)) == 1 else ExitCode.FAILED


def _wait(client: nupic_client.ServerClient, model: str, seconds: float) -> None:
    """Wait until everything is ready, and tell who looks on after a moment; who asks afterwards learns what is not."""
    unsaid = min(_UNSAID, seconds)
    with contextlib.suppress(DeadlineExceededError):
        client.wait_until_ready(model, unsaid)
        return
    if seconds > unsaid:
        if is_terminal(sys.stderr):
            say(f"waiting up to {seconds:g} s for {client.url} …")
        with contextlib.suppress(DeadlineExceededError):
            client.wait_until_ready(model, seconds - unsaid)


def _report(client: nupic_client.ServerClient, arguments: argparse.Namespace) -> ExitCode:
    """Ask one server and print its state."""
    try:
        health = _examine(client, arguments.model)
    except (ConnectionFailedError, DeadlineExceededError) as error:
        return _unreachable(client.url, error, arguments)
    TextOutput().write(json_text(asdict(health)) + "\n" if arguments.json else _text(health))
    return ExitCode.OK if health.all_ready else ExitCode.FAILED


def _examine(client: nupic_client.ServerClient, model: str) -> _Health:
    name = version = ""
    # A server that is shutting down does not tell its name.
    with contextlib.suppress(ModelUnavailableError):
        info = client.metadata()
        name, version = info.name, info.version
    model_ready = client.is_model_ready(model) if model else None
    return _Health(
        url=client.url,
        live=client.is_live(),
        ready=client.is_ready(),
        name=name,
        version=version,
        model=model or None,
        model_ready=model_ready,
        model_reason=why_not_ready(client, model) if model_ready is False else "",
    )


def _unreachable(url: str, error: RequestError, arguments: argparse.Namespace) -> ExitCode:
    if arguments.json:
        model_ready = False if arguments.model else None
        found = _Health(url=url, model=arguments.model or None, model_ready=model_ready)
        TextOutput().write(json_text(asdict(found)) + "\n")
    complain(error_text(error, arguments))
    return ExitCode.NO_SERVER


def _text(health: _Health) -> str:
    lines = [
        f"server  {health.url}  {printable(health.name)} {printable(health.version)}".rstrip(),
        f"live    {_yes(health.live)}",
        f"ready   {_yes(health.ready)}",
    ]
    if health.model is not None:
        reason = f": {printable(health.model_reason)}" if health.model_reason else ""
        lines.append(f"model   {health.model}  {'ready' if health.model_ready else 'not ready'}{reason}")
    return "\n".join(lines) + "\n"


def _yes(value: bool) -> str:  # noqa: FBT001 - the subject of the function
    return "yes" if value else "no"
