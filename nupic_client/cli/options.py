"""The options that commands share, and the client's options made from them."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, cast

from nupic_client.cli.credentials import add_credential_arguments
from nupic_client.cli.terminal import shell_text
from nupic_client.errors import ConfigurationError
from nupic_client.sampling import OPTION_NAMES

if TYPE_CHECKING:
    from nupic_client.options import GenerateOptions

__all__ = [
    "DEFAULT_MODEL",
    "EMBEDDED_MODELS",
    "EMBEDDING_MODEL",
    "MODEL_VARIABLE",
    "add_generation_arguments",
    "add_markdown_argument",
    "add_model_argument",
    "add_reasoning_argument",
    "add_server_arguments",
    "call_options",
    "generation_options",
    "sampling_options",
    "shows_reasoning",
]

DEFAULT_MODEL = "smollm2"
"""The text model of the embedded server."""
MODEL_VARIABLE = "NUPIC_MODEL"
"""The environment variable with the text model of a user."""
EMBEDDING_MODEL = "smollm2-embed"
"""The embedding model of the embedded server."""
EMBEDDED_MODELS = (DEFAULT_MODEL, EMBEDDING_MODEL)


def add_server_arguments(
    parser: argparse.ArgumentParser, *, title: str, otherwise: str, limit: str
) -> argparse._ArgumentGroup:
    """Add the options of every command that calls a server, and return their group.

    Args:
        parser: the parser of the command.
        title: the title of the group.
        otherwise: describes what happens if nothing answers at the default url.
        limit: describes the timeout and its default.
    """
    server = parser.add_argument_group(title)
    where = server.add_mutually_exclusive_group()
    where.add_argument(
        "--url",
        help="the server's gRPC address: host:port, grpcs://host:port (TLS), unix:/path, … "
        f"(default: $NUPIC_URL, else localhost:8001{otherwise})",
    )
    where.add_argument(
        "--local", action="store_true", help="use the embedded server, even if another one is running"
    )
    server.add_argument("--timeout", type=float, metavar="SECONDS", help=limit)
    server.add_argument(
        "--metadata",
        type=_metadata,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="gRPC metadata sent with the request, such as x-tenant=blue; may be repeated",
    )
    add_credential_arguments(parser)
    return server


def add_generation_arguments(
    parser: argparse.ArgumentParser, *, quiet: str = "do not print the figures after an answer"
) -> None:
    """Add the options of every command that generates text.

    Args:
        parser: the parser of the command.
        quiet: describes what is left out with ``--quiet``.
    """
    server = add_server_arguments(
        parser,
        title="server and model",
        otherwise="; where nothing answers, the embedded server is started",
        limit="for a whole answer (default: 600)",
    )
    add_model_argument(server, "a friendly name or the server's own name")
    server.add_argument(
        "--backend",
        metavar="NAME",
        help="how the model takes and gives text, such as vllm or trtllm, if its inputs do not tell",
    )
    server.add_argument(
        "--lora", type=_lora, metavar="NAME", help="a LoRA adapter of the server: its name or its number"
    )
    server.add_argument(
        "--formatter",
        metavar="FAMILY",
        help="the prompt format of the model, such as chatml or zephyr; "
        "'nupic-client prompt --list' shows all",
    )
    server.add_argument("-s", "--system", type=shell_text, metavar="TEXT", help="the system prompt")
    sampling = parser.add_argument_group("sampling (default: the server's)")
    sampling.add_argument("--max-tokens", type=int, metavar="N", help="generate at most N tokens")
    sampling.add_argument(
        "--temperature", type=float, metavar="X", help="randomness; 0 takes the likeliest token"
    )
    sampling.add_argument("--top-p", type=float, metavar="X", help="nucleus sampling, up to 1")
    sampling.add_argument("--top-k", type=int, metavar="N", help="choose from the N likeliest tokens")
    sampling.add_argument(
        "--min-p",
        type=float,
        metavar="X",
        help="drop tokens that are less likely than this share of the likeliest",
    )
    sampling.add_argument(
        "--stop", type=shell_text, action="append", metavar="TEXT", help="ends the answer; may be repeated"
    )
    sampling.add_argument(
        "--seed", type=int, metavar="N", help="the same seed gives the same text, if the server can"
    )
    sampling.add_argument("--repetition-penalty", type=float, metavar="X", help="1 switches it off")
    sampling.add_argument("--presence-penalty", type=float, metavar="X", help="-2 to 2")
    sampling.add_argument("--frequency-penalty", type=float, metavar="X", help="-2 to 2")
    parser.add_argument("--quiet", action="store_true", help=quiet)


def add_model_argument(group: argparse._ActionsContainer, what: str) -> None:
    """Add the option for the model of a text.

    Args:
        group: where to add it.
        what: describes its value.
    """
    group.add_argument(
        "-m",
        "--model",
        default=os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL,
        help=f"{what} (default: ${MODEL_VARIABLE}, else {DEFAULT_MODEL})",
    )


def add_markdown_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that can draw an answer."""
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="draw the answer's Markdown on a terminal; elsewhere it stays as it is. Needs nupic-client[chat]",
    )


def add_reasoning_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that print an answer as it comes."""
    parser.add_argument(
        "--reasoning",
        metavar="{show,hide}",
        help="print the model's reasoning before the answer, dimmed on a terminal, or not (default: hide); if it is "
        "given, reasoning is looked for even where models of the prompt format have none",
    )


def shows_reasoning(arguments: argparse.Namespace) -> bool:
    """Return whether reasoning is to be printed.

    Raises:
        ConfigurationError: the option has another value.
    """
    if arguments.reasoning not in {"show", "hide", None}:
        raise ConfigurationError(
            f"reasoning must be 'show' or 'hide', not {arguments.reasoning!r:.80}", parameter="reasoning"
        )
    return bool(arguments.reasoning == "show")


def generation_options(arguments: argparse.Namespace) -> GenerateOptions:
    """Return the client's options for a generation that were given."""
    asked = {"reasoning": "separate"} if getattr(arguments, "reasoning", None) is not None else {}
    lora = {} if arguments.lora is None else {"lora": arguments.lora}
    return cast(
        "GenerateOptions", {**sampling_options(arguments), **call_options(arguments), **asked, **lora}
    )


def sampling_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the client's sampling options that were given."""
    return {name: value for name in OPTION_NAMES if (value := getattr(arguments, name)) is not None}


def call_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the client's options for each call that were given."""
    given: dict[str, Any] = {}
    if arguments.timeout is not None:
        given["timeout"] = arguments.timeout
    if arguments.metadata:
        given["metadata"] = dict(arguments.metadata)
    return given


def _metadata(text: str) -> tuple[str, str | bytes]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        # The text is not shown: it may be a secret.
        raise argparse.ArgumentTypeError("must be KEY=VALUE")
    return name, value.encode() if name.endswith("-bin") else value


def _lora(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdigit() else shell_text(text)
