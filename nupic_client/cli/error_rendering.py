"""The library's errors as the command line shows them: with options in place of arguments."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from nupic_client.cli.credentials import TOKEN_VARIABLE
from nupic_client.cli.terminal import printable
from nupic_client.errors import ConfigurationError, ConnectionFailedError, NupicError, OutputError

if TYPE_CHECKING:
    import argparse

__all__ = ["error_text", "option_of"]

_CLIENT_TLS = {
    "root_certificates": "ca_cert",
    "target_name": "server_name",
    "certificate_chain": "client_cert",
    "private_key": "client_key",
}
_SERVER_TLS = {
    "certificate_chain": "tls_cert",
    "private_key": "tls_key",
    "client_authorities": "tls_client_ca",
}
_NAMES = {
    "family": ("family", "formatter"),
    "errors_to": ("errors",),
    "response_format": ("json_schema",),
    "content": ("image",),
    "bearer_token": ("token_file", "token_env"),
    "tls": (*_CLIENT_TLS.values(), *_SERVER_TLS.values()),
    **{
        f"tls.{field}": (_CLIENT_TLS.get(field, ""), _SERVER_TLS.get(field, ""))
        for field in _CLIENT_TLS | _SERVER_TLS
    },
}
"""Arguments whose options have other names. A command has one of them, or several that belong together."""
_POSITIONAL = frozenset({"prompt", "shell", "source", "target", "text", "texts"})
"""What the commands take without an option."""
_VARIABLES = {"url": "NUPIC_URL", "bearer_token": TOKEN_VARIABLE}
"""Arguments that come from the environment where no option gives them."""
_PROGRAM_WORDS = {
    r" or None(?: for no \w+)?(?=,| must|$|:)": "",
    r"give(?: the client)? signature=ModelSignature\(…\)(?:, or| as)? ?": "",
    r"\buse infer\(\w+\)(?:, which returns the array as it is)?": "use nupic-client infer",
    r" in nupic_client\.prompts\.FAMILIES": ": nupic-client prompt --list shows all",
    r": or give media_type=": "",
    r"use infer_stream\(\) of InferenceClient, or generate\(\) for its text": "use nupic-client generate for its text",
    r", or (?:give )?an object of your own(?:, see [\w.]*\w)?": "",
}
"""What is said of Python only, as patterns, and the words for a terminal."""
_TLS_WORDS = {
    "TLS(root_certificates=…)": "--ca-cert",
    "TLS(target_name=…)": "--server-name",
    "TLS(certificate_chain=…, private_key=…)": "--client-cert and --client-key",
    "certificate_chain": "--client-cert",
    "private_key": "--client-key",
}
"""What a failed connection says of arguments for TLS, and the options for it."""


def error_text(error: NupicError, arguments: argparse.Namespace) -> str:
    """Return an error's text: what happened, its facts on a line of their own, and the option that helps.

    Args:
        error: what ended the command.
        arguments: of the command.
    """
    lines = [_sentence(error, arguments)]
    if isinstance(error, OutputError):
        lines += [f"  {printable(violation)}" for violation in error.violations[1:]]
    facts = str(error).removeprefix(error.message).strip()
    if facts and not error.hint:
        lines.append(f"  {facts[1:-1]}")
    # A wrong certificate is not retryable, and the server is there.
    unreachable = isinstance(error, ConnectionFailedError) and error.retryable
    if unreachable and getattr(arguments, "local", None) is False:
        lines.append("To use the embedded model (smollm2) instead: --local")
    return "\n".join(lines)


def option_of(parameter: str, arguments: argparse.Namespace) -> str:
    """Return the option or variable that gives an argument of the library, such as ``--max-tokens``; else "".

    Args:
        parameter: the name of the argument, as in `ConfigurationError.parameter`.
        arguments: of the command.
    """
    names = [name for name in _NAMES.get(parameter, (parameter,)) if hasattr(arguments, name)]
    given = [name for name in names if getattr(arguments, name) is not None]
    variable = _VARIABLES.get(parameter)
    if names and not given and variable and os.environ.get(variable):
        return f"${variable}"
    return ", ".join(f"--{name.replace('_', '-')}" for name in given or names[:1] if name not in _POSITIONAL)


def _sentence(error: NupicError, arguments: argparse.Namespace) -> str:
    message = error.message
    if isinstance(error, ConnectionFailedError):
        for words, options in _TLS_WORDS.items():
            message = message.replace(words, options)
    if isinstance(error, OutputError):
        message = _of_output(message, arguments)
    for pattern, words in _PROGRAM_WORDS.items():
        message = re.sub(pattern, words, message)
    message = _with_options(message, arguments)
    parameter = error.parameter if isinstance(error, ConfigurationError) else ""
    option = option_of(parameter, arguments) if parameter else ""
    if option:
        rest = message.removeprefix(parameter)
        message = f"{option}{rest}" if rest.startswith((" ", ":")) else f"{option}: {message}"
    return f"{message}{_hint(error, arguments)}"


def _of_output(message: str, arguments: argparse.Namespace) -> str:
    """Return what is wrong with an answer; the other violations have lines of their own."""
    for parameter in ("response_format", "max_tokens"):
        option = option_of(parameter, arguments)
        message = re.sub(rf" (of|larger) {parameter}\b", rf" \1 {option}", message, count=1)
    return re.sub(r" \(and \d+ more in violations\)$", "", message)


def _hint(error: NupicError, arguments: argparse.Namespace) -> str:
    """Return an error's other way out if this command has the option for it."""
    hint = _with_options(error.hint, arguments)
    return f", {hint}" if hint != error.hint else ""


def _with_options(text: str, arguments: argparse.Namespace) -> str:
    """Return a text with options in place of arguments with their equals signs, if this command has them."""
    for name in vars(arguments):
        option = option_of(name, arguments)
        if option and f"{name}=" in text:
            text = re.sub(rf"(?<![\w.]){name}='(\w+)'", rf"{option} \1", text)
            text = re.sub(rf"(?<![\w.]){name}=(?:True\b|(?=[\s,;:.)]|$))", option, text)
    return text
