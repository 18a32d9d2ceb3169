"""The library's errors in the words of the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nupic_client.cli.credentials import TOKEN_VARIABLE
from nupic_client.errors import ConfigurationError, ConnectionFailedError, NupicError, PromptError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

__all__ = ["error_text"]

_FIRST_WORD = re.compile(r"^([a-z_]+)(?= (?:must|takes)\b)")
_ARGUMENT = re.compile(r"\b([a-z_]+)=(?:True\b)?")
_FOR_PROGRAMS = {
    "allow_control_tokens": ", or render verbatim with allow_control_tokens=True",
    "unsupported": ", or set unsupported='warn' to go on without it",
}
"""Ways out that a command has only if it has the option."""
_CREDENTIALS = {
    "TLS(root_certificates=…)": "--ca-cert",
    "TLS(target_name=…)": "--server-name",
    "TLS(certificate_chain=…, private_key=…)": "--client-cert and --client-key",
    "both certificate_chain and private_key": "both --client-cert and --client-key",
    "that private_key is the key of certificate_chain": "that --client-key is the key of --client-cert",
    "tls is given": "there is an option for TLS",
    "tls.root_certificates": "--ca-cert",
    "tls.certificate_chain": "--client-cert",
    "tls.private_key": "--client-key",
}
"""What the library says of certificates, and what the commands that connect say."""
_SERVER_CREDENTIALS = {
    "tls.certificate_chain": "--tls-cert",
    "tls.private_key": "--tls-key",
    "tls.client_authorities": "--tls-client-ca",
}
"""The same for the command that serves."""
_TOKEN = "the token would go"  # noqa: S105 - words of an error


def error_text(error: NupicError, arguments: argparse.Namespace) -> str:
    """Return an error's text: what happened, its facts on a line of their own, and the option that helps."""
    lines = [_in_options(error, arguments)]
    facts = str(error).removeprefix(error.message).strip()
    if facts:
        lines.append(f"  {facts[1:-1]}")
    # Where trying again cannot help, the server is there and a certificate is wrong.
    away = isinstance(error, ConnectionFailedError) and error.retryable
    if away and getattr(arguments, "local", None) is False:
        lines.append("To use the embedded model (smollm2) instead: --local")
    return "\n".join(lines)


def _replaced(message: str, words: Mapping[str, str]) -> str:
    for ours, theirs in words.items():
        message = message.replace(ours, theirs)
    return message


def _in_options(error: NupicError, arguments: argparse.Namespace) -> str:
    """Name the options of this command where the message names the arguments of a function."""
    if isinstance(error, ConnectionFailedError) and hasattr(arguments, "ca_cert"):
        return _replaced(error.message, _CREDENTIALS)
    if not isinstance(error, (ConfigurationError, PromptError)):
        return error.message  # a server's words, where a name is no option of ours

    def option(match: re.Match[str]) -> str:
        known = hasattr(arguments, match[1])
        return f"--{match[1].replace('_', '-')}" if known else match[0]

    message = _replaced(error.message, _CREDENTIALS if hasattr(arguments, "ca_cert") else _SERVER_CREDENTIALS)
    if message.startswith(_TOKEN) and not (arguments.token_file or arguments.token_env):
        message = message.replace(_TOKEN, f"the token in ${TOKEN_VARIABLE} would go", 1)
    for name, way_out in _FOR_PROGRAMS.items():
        if not hasattr(arguments, name):
            message = message.removesuffix(way_out)
    return _ARGUMENT.sub(option, _FIRST_WORD.sub(option, message))
