"""`nupic-client chat`: a conversation at the terminal, or line by line from a pipe."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from nupic_client.cli.answer import stream_answer
from nupic_client.cli.connection import connect, require_formatter
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.options import add_generation_arguments
from nupic_client.cli.report import summary
from nupic_client.cli.terminal import TextOutput, complain, is_interactive, read_lines, say
from nupic_client.errors import ConfigurationError, NupicError
from nupic_client.messages import Message, assistant, system, user

if TYPE_CHECKING:
    from nupic_client.streaming import StreamingClient

__all__ = ["add_command", "run"]

_HELP = """\
/system TEXT  set the system prompt; without a text, show it
/clear        forget the conversation, but not the system prompt
/help         show this
/exit         leave, as Ctrl-D does
Ctrl-C stops an answer; what was said of it stays in the conversation."""


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "chat",
        help="talk with a model",
        description="Talk with a model. Each line is a message; from a pipe, too.",
        epilog=f"in the conversation:\n  {_HELP.replace(chr(10), f'{chr(10)}  ')}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_generation_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Talk until the input ends or the user leaves; in a pipe, where nobody can react, also until a failure.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    with connect(arguments) as client:
        require_formatter(arguments, client)
        conversation = _Conversation(client, arguments.system, quiet=arguments.quiet)
        interactive = is_interactive()
        if interactive:
            say(f"{client.model.server_name} at {client.url} · /help lists the commands, Ctrl-D leaves")
        for line in read_lines():
            try:
                conversation.take(line.strip())
            except NupicError as error:
                if not interactive:
                    raise
                complain(str(error))
            if conversation.over:
                break
    return ExitCode.OK


class _Conversation:
    """What was said, and what a line does to it."""

    def __init__(self, client: StreamingClient, system_prompt: str | None, *, quiet: bool) -> None:
        self._client = client
        self._system = system_prompt
        self._quiet = quiet
        self._turns: list[Message] = []
        self.over = False

    def take(self, line: str) -> None:
        """Do what a line says: a command, or a message to the model."""
        first, _, rest = line.partition(" ")
        if re.fullmatch(r"/[a-z]+", first):
            self._command(first, rest.strip())
        elif line:
            self._say_to_model(line)

    def _command(self, name: str, text: str) -> None:
        if name == "/exit":
            self.over = True
        elif name == "/help":
            say(_HELP)
        elif name == "/clear":
            self._turns.clear()
            say("the conversation is forgotten")
        elif name == "/system":
            self._system = text or self._system
            say(f"system prompt: {self._system or '(the default one of the model)'}")
        else:
            raise ConfigurationError(f"there is no command {name}: /help lists them")

    def _say_to_model(self, text: str) -> None:
        """Send the conversation with a new message, and keep both if there is an answer, even half of one."""
        beginning = [] if self._system is None else [system(self._system)]
        output = TextOutput()
        try:
            answer = stream_answer(self._client, [*beginning, *self._turns, user(text)], output.write)
        except KeyboardInterrupt:
            if not is_interactive():
                raise
            return
        finally:
            output.end()
        if answer.text:
            self._turns += [user(text), assistant(answer.text)]
        if not self._quiet:
            say(summary(answer))
        if answer.finish_reason == "cancelled" and not is_interactive():
            raise KeyboardInterrupt
