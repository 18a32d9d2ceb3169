"""The options for certificates and tokens. A token itself is never an option: all users of a machine see those."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from nupic_client.config import TLS
from nupic_client.errors import ConfigurationError

__all__ = ["TOKEN_VARIABLE", "add_credential_arguments", "add_token_arguments", "credentials", "token_of"]

TOKEN_VARIABLE = "NUPIC_TOKEN"  # noqa: S105 - the name of a variable
"""The variable with a client's token, if no option says where it is."""

_TLS = {
    "ca_cert": "root_certificates",
    "client_cert": "certificate_chain",
    "client_key": "private_key",
    "server_name": "target_name",
}
"""Options to the fields of `TLS`."""


def add_token_arguments(group: argparse._ArgumentGroup, what: str, otherwise: str) -> None:
    """Add the options for the place of a token.

    Args:
        group: the group of options.
        what: describes the token.
        otherwise: describes the default.
    """
    places = group.add_mutually_exclusive_group()
    places.add_argument("--token-file", metavar="FILE", help=f"a file with {what}")
    places.add_argument(
        "--token-env", metavar="NAME", help=f"the environment variable with {what} ({otherwise})"
    )


def add_credential_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that a client identifies itself with."""
    group = parser.add_argument_group("certificates and tokens")
    add_token_arguments(group, "the bearer token to send", f"default: ${TOKEN_VARIABLE}, if it is set")
    group.add_argument(
        "--allow-insecure-token",
        action="store_true",
        help="send the token to another machine without TLS, where the network itself protects it",
    )
    group.add_argument(
        "--ca-cert", metavar="FILE", help="the authorities to trust, PEM (default: the system's)"
    )
    group.add_argument("--client-cert", metavar="FILE", help="this client's certificate, for mutual TLS")
    group.add_argument("--client-key", metavar="FILE", help="the key of that certificate")
    group.add_argument(
        "--server-name", metavar="NAME", help="the name in the server's certificate, if not the url's host"
    )


def credentials(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the client's options for the options of `add_credential_arguments`.

    Raises:
        ConfigurationError: a file cannot be read, or the options do not go together.
    """
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("token_file", "token_env", *_TLS)
        if getattr(arguments, name)
    ]
    if arguments.local:
        # The embedded server of this run takes no credentials; $NUPIC_TOKEN is for another server.
        if given:
            raise ConfigurationError(f"--local does not go with {' and '.join(given)}: it needs none of them")
        return {}
    options: dict[str, Any] = {"bearer_token": token_of(arguments, default=TOKEN_VARIABLE)}
    if arguments.allow_insecure_token:
        options["allow_insecure_token"] = True
    tls = {field: getattr(arguments, name) for name, field in _TLS.items() if getattr(arguments, name)}
    if tls:
        options["tls"] = TLS(**tls)
    return options


def token_of(arguments: argparse.Namespace, default: str | None = None) -> str | None:
    """Return the token of the options, else of a variable if that is set, else None.

    Raises:
        ConfigurationError: there is no token in the given place. Contents are not shown.
    """
    if arguments.token_file is not None:
        return _token_in_file(arguments.token_file)
    if arguments.token_env is not None:
        token = os.environ.get(arguments.token_env, "").strip()
        if not token:
            raise ConfigurationError(f"--token-env: the variable {arguments.token_env} is not set, or empty")
        return token
    return (os.environ.get(default, "").strip() if default else "") or None


def _token_in_file(name: str) -> str:
    try:
        token = Path(name).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"--token-file: cannot read {name!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"--token-file: {name!r} is not UTF-8 text") from None
    if not token:
        raise ConfigurationError(f"--token-file: {name!r} is empty")
    return token
