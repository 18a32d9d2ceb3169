"""`nupic-client infer`: send one request to a model that does not stream, and print its outputs as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nupic_client.cli.connection import connect_inference, same_server
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.options import add_server_arguments
from nupic_client.cli.stdin import read_text
from nupic_client.cli.terminal import TextOutput, json_text, shell_text
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nupic_client
    from nupic_client.signature import ModelSignature

__all__ = ["add_command", "run"]


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "infer",
        help="send a request to a model and print its outputs",
        description="Send one request to a model that does not stream, and print its outputs as one JSON object.",
        epilog="examples:\n"
        "  nupic-client infer --model sbert --input text_input='A sentence.'\n"
        "  nupic-client infer --model adder --input a='[[1, 2]]' --input b='[[3, 4]]'\n"
        f"  echo '{{\"a\": [[1, 2]]}}' | nupic-client infer --model doubler --json-input -\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    inputs = parser.add_mutually_exclusive_group(required=True)
    inputs.add_argument(
        "--input",
        type=_name_and_value,
        action="append",
        metavar="NAME=VALUE",
        help="an input: a text for a text input, else JSON such as 1.5 or '[[1, 2]]'; once for each input of the "
        "model, and several times for several texts",
    )
    inputs.add_argument(
        "--json-input", metavar="FILE", help="a JSON object with all inputs by name; - reads stdin"
    )
    server = add_server_arguments(
        parser, title="server and model", otherwise="", limit="for the request (default: 600)"
    )
    server.add_argument("-m", "--model", required=True, help="a friendly name or the server's own name")
    parser.add_argument(
        "--output", action="append", metavar="NAME", help="print this output only; may be repeated"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Send the request and print the outputs.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    given = None if arguments.json_input is None else _inputs_of_file(arguments.json_input)
    with connect_inference(arguments) as client:
        inputs = _inputs_of_arguments(arguments, client) if given is None else given
        options: dict[str, Any] = {} if arguments.output is None else {"outputs": arguments.output}
        result = client.infer(inputs, **options)
    outputs = {name: _json_value(array.tolist()) for name, array in result.items()}
    TextOutput().write(json_text(outputs) + "\n")
    return ExitCode.OK


def _name_and_value(text: str) -> tuple[str, str]:
    name, separator, value = shell_text(text).partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    return name, value


def _inputs_of_file(name: str) -> Mapping[str, Any]:
    try:
        text = read_text() if name == "-" else Path(name).read_text(encoding="utf-8")
        inputs = json.loads(text)
    except OSError as error:
        raise ConfigurationError(f"--json-input: cannot read {name}: {error.strerror or error}") from None
    except ValueError as error:
        place = "stdin" if name == "-" else name
        raise ConfigurationError(f"--json-input must be JSON, and {place} is not: {error}") from None
    if not isinstance(inputs, dict):
        raise ConfigurationError(
            f"--json-input must be a JSON object with the inputs by name, not {type(inputs).__name__}"
        )
    return inputs


def _inputs_of_arguments(
    arguments: argparse.Namespace, client: nupic_client.InferenceClient
) -> Mapping[str, Any]:
    with contextlib.ExitStack() as stack:
        signature = same_server(stack, arguments, client).signature(client.model.server_name)
    values: dict[str, list[Any]] = {}
    for name, text in arguments.input:
        values.setdefault(name, []).append(_value(name, text, signature))
    return {name: many if len(many) > 1 else many[0] for name, many in values.items()}


def _value(name: str, text: str, signature: ModelSignature) -> Any:
    """Return the value of an argument, read by the data type of its input."""
    spec = signature.inputs.get(name)
    is_text = spec is not None and spec.datatype == "BYTES"
    if is_text and not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        if is_text or spec is None:  # the client reports an unknown input
            return text
        raise ConfigurationError(
            f"--input {name} must be {spec.datatype} as JSON, such as 1 or [1, 2], not {text!r}"
        ) from None


def _json_value(value: Any) -> Any:
    """Return a value for JSON; what JSON has no number for is spelled as protobuf spells it."""
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
