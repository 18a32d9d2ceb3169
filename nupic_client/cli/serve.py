"""`nupic-client serve`: the embedded server, or the real Triton with the same model, in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any

from nupic_client import local
from nupic_client._terminal import is_terminal
from nupic_client.cli.connection import embedded_server
from nupic_client.cli.credentials import add_token_arguments, token_of
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.terminal import say
from nupic_client.config import DEFAULT_URL
from nupic_client.errors import ConfigurationError
from nupic_client.local.progress import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["add_command", "run"]

_LIMITS = ("max_request_bytes", "max_running", "max_waiting", "max_tokens")


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "serve",
        help="serve the embedded model",
        description="Serve SmolLM2-135M-Instruct over Triton's protocol until Ctrl-C, for trials and tests: the\n"
        "models smollm2 (text) and smollm2-embed (vectors). Without --expose only this machine can reach it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--host",
        help="the address to listen on (default: 127.0.0.1, with --expose every address of this machine)",
    )
    parser.add_argument(
        "--port", type=int, default=8001, help="the port; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads for the model (default: %(default)s)")
    parser.add_argument(
        "--context",
        type=int,
        default=2048,
        help="size of the context, prompt and answer together, in tokens (default: %(default)s)",
    )
    parser.add_argument(
        "--triton",
        action="store_true",
        help="run the model inside the real Triton Inference Server, which is installed once (350 MB; Linux x86_64)",
    )
    _add_access_arguments(parser)
    _add_limit_arguments(parser)
    parser.set_defaults(run=run)


def _add_access_arguments(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("access")
    access.add_argument("--expose", action="store_true", help="let other machines connect")
    access.add_argument("--tls-cert", metavar="FILE", help="serve with TLS: the server's certificate, PEM")
    access.add_argument("--tls-key", metavar="FILE", help="the key of that certificate")
    access.add_argument(
        "--tls-client-ca",
        metavar="FILE",
        help="let in only clients with a certificate of this authority (mutual TLS)",
    )
    add_token_arguments(access, "the bearer token that every call must have", "default: no token is needed")


def _add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    usual = local.ServerLimits()
    limits = parser.add_argument_group("limits (not with --triton)")
    limits.add_argument(
        "--max-request-bytes",
        type=int,
        metavar="N",
        help=f"size of a request (default: {usual.max_request_bytes})",
    )
    limits.add_argument(
        "--max-running",
        type=int,
        metavar="N",
        help=f"requests that run at a time (default: {usual.max_running})",
    )
    limits.add_argument(
        "--max-waiting",
        type=int,
        metavar="N",
        help=f"requests that wait in the queue; more are refused (default: {usual.max_waiting})",
    )
    limits.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="tokens that a request may ask for (default: as many as fit in the context)",
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: the address is not free, or an option is wrong.
        LocalModelError: the model cannot be fetched or run here, or Triton ended unexpectedly.
    """
    serve = _triton_server if arguments.triton else embedded_server
    options = _options(arguments)
    with _sigterm_as_ctrl_c(), _warnings_said(), serve(arguments.host, arguments.port, **options) as server:
        inside = " inside Triton" if arguments.triton else ""
        say(f"serving smollm2{inside} at {server.url} · Ctrl-C stops it")
        say(f"try: {_example(server.url, arguments)}")
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()
        say("\nstopped" if is_terminal(sys.stderr) else "stopped")  # the terminal shows ^C before it
    return ExitCode.OK


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {
        "threads": arguments.threads,
        "context": arguments.context,
        "expose": arguments.expose,
        "tls": _tls(arguments),
    }
    token = token_of(arguments)
    limits = {name: value for name in _LIMITS if (value := getattr(arguments, name)) is not None}
    if not arguments.triton:
        return {**options, "bearer_token": token, "limits": local.ServerLimits(**limits)}
    if token is not None:
        raise ConfigurationError(
            "--triton must not be given with --token-file or --token-env, because Triton knows no tokens: require client"
            " certificates with --tls-client-ca"
        )
    if limits:
        raise ConfigurationError("--triton must not be given with limits: Triton has its own")
    return options


def _tls(arguments: argparse.Namespace) -> local.ServerTLS | None:
    if arguments.tls_cert is None and arguments.tls_key is None:
        if arguments.tls_client_ca is not None:
            raise ConfigurationError("--tls-client-ca must be given with --tls-cert and --tls-key")
        return None
    if arguments.tls_cert is None or arguments.tls_key is None:
        raise ConfigurationError("--tls-cert and --tls-key must be given together")
    return local.ServerTLS(
        certificate_chain=arguments.tls_cert,
        private_key=arguments.tls_key,
        client_authorities=arguments.tls_client_ca,
    )


@contextlib.contextmanager
def _warnings_said() -> Iterator[None]:
    """Print the server's warnings in the style of this program."""
    show = warnings.showwarning

    def say_it(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, local.ExposedServerWarning):
            say(f"warning: {message}")
        else:
            show(message, category, *rest, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", local.ExposedServerWarning)
        warnings.showwarning = say_it
        yield


@contextlib.contextmanager
def _triton_server(host: str | None, port: int, **options: Any) -> Iterator[local.TritonServer]:
    progress = ProgressLine()
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(local.TritonServer(host, port, progress=progress, **options))
        finally:
            progress.end()
        yield server


def _example(url: str, arguments: argparse.Namespace) -> str:
    """Return a command that calls this server, with the matching options of a client."""
    words = ["nupic-client", "generate"]
    if "://" in url or not DEFAULT_URL.endswith(f":{url.rpartition(':')[2]}"):
        words += ["--url", url]
    if arguments.tls_cert is not None:
        words += ["--ca-cert", "AUTHORITY.pem"]
    if arguments.tls_client_ca is not None:
        words += ["--client-cert", "YOURS.pem", "--client-key", "YOURS.key"]
    for option in ("token_file", "token_env"):
        if getattr(arguments, option) is not None:
            words += [f"--{option.replace('_', '-')}", getattr(arguments, option)]
    return f"{shlex.join(words)} 'Why is the sky blue?'"


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
