"""`nupic-client prompt`: show the prompt that a conversation becomes."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nupic_client
from nupic_client._terminal import is_terminal
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.options import add_model_argument
from nupic_client.cli.stdin import prompt_text, read_text
from nupic_client.cli.table import table
from nupic_client.cli.terminal import (
    TextOutput,
    colours,
    printable,
    say,
    shell_text,
    shown_on,
    writing,
)
from nupic_client.errors import ConfigurationError
from nupic_client.messages import Message, system, to_messages, user

if TYPE_CHECKING:
    from nupic_client.prompts import PromptFormatter

__all__ = ["add_command", "made_visible", "run"]

_REVERSE, _DIM, _PLAIN = "\033[7m", "\033[2m", "\033[0m"


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "prompt",
        help="show the prompt of a conversation",
        description="Show the prompt that a conversation becomes for a family of models. Nothing is sent.\n"
        "Control tokens are shown in reverse video on a terminal, else between ⟦ and ⟧.\n"
        "A newline is shown as ⏎, a blank at the end of a line as ␠.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "text",
        nargs="*",
        type=shell_text,
        help="the user's message; - is stdin. What is piped in is read without -, too, and comes first",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--family", metavar="FAMILY", help="a family or an alias of one, such as llama3")
    add_model_argument(which, "a model with a known family and default system prompt")
    which.add_argument("--list", action="store_true", help="list the families with their aliases")
    parser.add_argument("-s", "--system", type=shell_text, metavar="TEXT", help="the system prompt")
    parser.add_argument(
        "--messages",
        metavar="FILE",
        help='a JSON list of {"role": …, "content": …}, or a file of the command /save of chat; - reads stdin',
    )
    parser.add_argument(
        "--no-generation-prompt",
        action="store_true",
        help="leave out the beginning of the assistant's answer",
    )
    parser.add_argument(
        "--no-bos", action="store_true", help="leave out the BOS token at the beginning, as the client does"
    )
    parser.add_argument(
        "--allow-control-tokens",
        action="store_true",
        help="allow control tokens in contents; for trusted contents only",
    )
    parser.add_argument("--raw", action="store_true", help="print the prompt unchanged, and nothing else")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Render a conversation and print its prompt.

    Raises:
        ConfigurationError: an option is wrong, or the family is unknown.
        PromptError: the family cannot render this conversation.
    """
    if arguments.list:
        from nupic_client.prompts import FAMILIES  # noqa: PLC0415  # no other command needs the families

        rows = [(name, ", ".join(item.aliases), item.reference_model) for name, item in FAMILIES.items()]
        TextOutput().write_styled(table(("FAMILY", "ALIASES", "MODEL"), rows))
        return ExitCode.OK
    formatter, bos_is_sent = _formatter(arguments)
    prompt = formatter(
        _conversation(arguments),
        add_generation_prompt=not arguments.no_generation_prompt,
        allow_control_tokens=arguments.allow_control_tokens,
    )
    if arguments.no_bos:
        prompt = formatter.without_bos(prompt)
    if arguments.raw:
        _write_bytes(prompt)
        return ExitCode.OK
    output = TextOutput()
    output.write_styled(made_visible(prompt, formatter.control_tokens, styled=colours()))
    output.end()
    say(_facts(formatter))
    if not bos_is_sent and formatter.without_bos(prompt) != prompt:
        say(f"the client leaves out the {formatter.bos_token} at the beginning: servers put it there")
    return ExitCode.OK


def made_visible(prompt: str, tokens: tuple[str, ...], *, styled: bool) -> str:
    """Return a prompt with visible control tokens, newlines and blanks at the ends of lines.

    Args:
        prompt: the prompt.
        tokens: the control tokens; one that begins with a newline counts at the start of a line only.
        styled: use the terminal's styles instead of marks.
    """
    before, after = (_REVERSE, _PLAIN) if styled else ("⟦", "⟧")
    dim, plain = (_DIM, _PLAIN) if styled else ("", "")
    shown = []
    for part, is_token in _parts(prompt, tokens):
        if is_token:
            shown.append(f"{before}{printable(part)}{after}")
            continue
        lines = [printable(line) for line in part.split("\n")]
        shown.append(f"{dim}⏎{plain}\n".join(lines))
    text = "".join(shown)
    # Blanks at the end of a line are invisible, and models treat them as text.
    return re.sub(rf" +(?={re.escape(dim)}⏎|\Z)", lambda blanks: f"{dim}{'␠' * len(blanks[0])}{plain}", text)


def _parts(prompt: str, tokens: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    patterns = [
        rf"^{re.escape(token[1:])}" if token.startswith("\n") else re.escape(token)
        for token in sorted(tokens, key=len, reverse=True)
        if token.strip()
    ]
    if not patterns:
        yield prompt, False
        return
    for index, part in enumerate(re.split(f"({'|'.join(patterns)})", prompt, flags=re.MULTILINE)):
        if part:
            yield part, index % 2 == 1


def _formatter(arguments: argparse.Namespace) -> tuple[PromptFormatter, bool]:
    """Return the formatter, and whether the client sends its BOS token."""
    if arguments.family is not None:
        from nupic_client.prompts import formatter_for  # noqa: PLC0415  # no other command needs the families

        return formatter_for(arguments.family), False
    model = nupic_client.default_registry().resolve(arguments.model)
    if model.formatter is None:
        raise ConfigurationError(
            f"the prompt format of model {arguments.model!r} is not known: give --family, --list shows all"
        )
    return model.formatter, model.bos == "keep"


def _conversation(arguments: argparse.Namespace) -> list[Message]:
    if arguments.messages is not None:
        if arguments.text:
            raise ConfigurationError("--messages must not be given with a text: give one of them")
        messages = list(_read_messages(arguments.messages))
        if arguments.system is not None and messages[0].role == "system":
            raise ConfigurationError(
                "--system must not be given with --messages that begin with a system message: leave it out"
            )
    else:
        text = prompt_text(arguments.text, missing="a text or --messages must be given")
        messages = [user(text.rstrip("\r\n"))]
    return messages if arguments.system is None else [system(arguments.system), *messages]


def _read_messages(file: str) -> Iterator[Message]:
    try:
        text = read_text() if file == "-" else Path(file).read_text(encoding="utf-8")
        data = json.loads(text)
    except OSError as error:
        raise ConfigurationError(f"--messages: cannot read {file!r}: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"--messages must be JSON, and {_name(file)} is not: {error}") from None
    if isinstance(data, Mapping) and "messages" in data:  # a saved conversation
        if data.get("system") is not None:
            yield Message("system", data["system"])
        data = data["messages"]
    if not isinstance(data, list):
        raise ConfigurationError(
            f'--messages must be a list of {{"role": …, "content": …}}, not {type(data).__name__}'
        )
    yield from to_messages(data)


def _name(file: str) -> str:
    return "stdin" if file == "-" else file


def _facts(formatter: PromptFormatter) -> str:
    stops = ", ".join(json.dumps(stop, ensure_ascii=False) for stop in formatter.stop)
    return f"family {formatter.family} · {formatter.description}\nstop strings: {stops or 'none'}"


def _write_bytes(prompt: str) -> None:
    """Write a prompt to stdout as bytes, so that a newline stays one character on every system."""
    with writing():
        stream = getattr(sys.stdout, "buffer", None)
        if stream is None or is_terminal(sys.stdout):  # text only
            sys.stdout.write(shown_on(sys.stdout, prompt))
        else:
            # Arguments that are not UTF-8 have surrogates in place of their bytes.
            stream.write(prompt.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()
