"""`nupic-client serve`: the embedded server, or the real Triton with the same model, in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any

from nupic_client import local
from nupic_client.cli.connection import embedded_server
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.report import ProgressLine
from nupic_client.cli.terminal import say
from nupic_client.config import DEFAULT_URL

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["add_command", "run"]


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "serve",
        help="serve the embedded model",
        description="Serve SmolLM2-135M-Instruct over Triton's protocol until Ctrl-C, to try and to test: the\n"
        "models smollm2 (text) and smollm2-embed (vectors).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8001, help="the port; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads to compute with (default: %(default)s)"
    )
    parser.add_argument(
        "--context",
        type=int,
        default=2048,
        help="tokens a prompt and its answer may have (default: %(default)s)",
    )
    parser.add_argument(
        "--triton",
        action="store_true",
        help="run the model inside the real Triton Inference Server, which is installed once (350 MB; Linux x86_64)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: the address is not free, or an option is out of its range.
        LocalModelError: the model cannot be fetched or run here, or Triton ended by itself.
    """
    if not _is_loopback(arguments.host):
        say(f"warning: there is no authentication: everyone who reaches {arguments.host} can use this server")
    options = {"threads": arguments.threads, "context": arguments.context}
    serve = _triton_server if arguments.triton else embedded_server
    with _sigterm_as_ctrl_c(), serve(arguments.host, arguments.port, **options) as server:
        inside = " inside Triton" if arguments.triton else ""
        say(f"serving smollm2{inside} at {server.url} · Ctrl-C stops it")
        say(f"try: {_example(server.url)}")
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()
        say("\nstopped" if sys.stderr.isatty() else "stopped")  # the terminal shows ^C before it
    return ExitCode.OK


@contextlib.contextmanager
def _triton_server(host: str, port: int, *, threads: int, context: int) -> Iterator[local.TritonServer]:
    progress = ProgressLine()
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(
                local.TritonServer(host, port, threads=threads, context=context, progress=progress)
            )
        finally:
            progress.end()
        yield server


def _example(url: str) -> str:
    port = url.rpartition(":")[2]
    where = "" if DEFAULT_URL.endswith(f":{port}") else f"--url {shlex.quote(url)} "
    return f"nupic-client generate {where}'Why is the sky blue?'"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
