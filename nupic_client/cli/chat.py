"""`nupic-client chat`: a conversation at the terminal, or line by line from a pipe."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nupic_client
from nupic_client.cli.answer import AnswerOutput, stream_answer
from nupic_client.cli.connection import connect, require_formatter
from nupic_client.cli.error_rendering import error_text
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.options import add_generation_arguments, add_reasoning_argument, shows_reasoning
from nupic_client.cli.report import summary
from nupic_client.cli.terminal import complain, is_interactive, read_lines, say
from nupic_client.cli.tools import add_tool_arguments, check_knows_tools, load_tools, runner
from nupic_client.errors import ConfigurationError, NupicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client._sync.stream import TextStream
    from nupic_client.results import Generation
    from nupic_client.streaming import StreamingClient
    from nupic_client.tools import Tool

__all__ = ["add_command", "run"]

_ROUNDS = 8
"""How often calls of tools are run for a message; then the model must answer."""
_HELP = """\
/system TEXT  set the system prompt; without a text, show it
/undo         forget the last message and its answer
/clear        forget the conversation, but not the system prompt
/save FILE    write the conversation to a file
/load FILE    go on with the conversation in a file
/help         show this
/exit         leave, as Ctrl-D does
Ctrl-C stops an answer; the part that was shown stays in the conversation."""


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "chat",
        help="talk with a model",
        description="Talk with a model. Each line is a message, typed or from a pipe.",
        epilog=f"in the conversation:\n  {_HELP.replace(chr(10), f'{chr(10)}  ')}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_generation_arguments(parser)
    parser.add_argument(
        "--context-length",
        type=int,
        metavar="N",
        help="size of the model's context; when the conversation is longer, its oldest messages are not sent "
        "(default: the model's own, if it is known)",
    )
    add_reasoning_argument(parser)
    add_tool_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Talk until the input ends or the user leaves; input from a pipe also ends at the first error.

    A line that is not text is left out, wherever it comes from.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    tools = load_tools(arguments)
    with connect(arguments) as client:
        require_formatter(arguments, client)
        if tools:
            check_knows_tools(client)
        chat = _Chat(client, arguments, tools)
        interactive = is_interactive()
        if interactive:
            say(f"{client.model.server_name} at {client.url} · /help lists the commands, Ctrl-D leaves")
        lost: list[ConfigurationError] = []
        for line in read_lines(lambda error: _lose(lost, error)):
            try:
                chat.take(line.strip())
            except NupicError as error:
                if not interactive:
                    raise
                complain(error_text(error, arguments))
            if chat.over:
                break
    return ExitCode.USAGE if lost and not interactive else ExitCode.OK


def _lose(lost: list[ConfigurationError], error: ConfigurationError) -> None:
    complain(f"{error.message}; the line is left out")
    lost.append(error)


class _Chat:
    """A conversation and the commands that change it."""

    def __init__(self, client: StreamingClient, arguments: argparse.Namespace, tools: Sequence[Tool]) -> None:
        self._client = client
        self._limits = {"context_length": arguments.context_length}
        self._conversation = nupic_client.Conversation(client, system=arguments.system, **self._limits)
        self._tools = tools
        self._asks = not arguments.yes_tools
        self._shows_reasoning = shows_reasoning(arguments)
        self._quiet: bool = arguments.quiet
        self.over = False

    def take(self, line: str) -> None:
        """Run a command, or send the line to the model."""
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
        elif name == "/undo":
            count = len(self._conversation.undo())
            say("the last message and its answer are forgotten" if count else "there is no message to forget")
        elif name == "/clear":
            self._conversation.clear()
            say("the conversation is forgotten")
        elif name == "/system":
            self._conversation.system = text or self._conversation.system
            say(f"system prompt: {self._conversation.system or '(the default one of the model)'}")
        elif name in {"/save", "/load"}:
            self._file(name, text)
        else:
            raise ConfigurationError(f"there is no command {name}: /help lists them")

    def _file(self, command: str, name: str) -> None:
        """Save the conversation or go on with a saved one."""
        if not name:
            raise ConfigurationError(f"{command} needs the name of a file")
        file = Path(name).expanduser()
        try:
            if command == "/save":
                self._conversation.save(file)
            else:
                self._conversation = nupic_client.Conversation.load(file, self._client, **self._limits)
        except OSError as error:
            raise ConfigurationError(f"{command} {name}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{command} {name}: this is not a saved conversation") from None
        count = len(self._conversation.messages)
        say(f"{'saved' if command == '/save' else 'loaded'}: {count} messages")

    def _say_to_model(self, text: str) -> None:
        """Send a message; the conversation keeps it with its answer, complete or not."""
        output = AnswerOutput(reasoning=self._shows_reasoning)
        try:
            answer = self._answer(text, output)
        except KeyboardInterrupt:
            if not is_interactive():
                raise
            if self._tools:
                output.end()
                say("stopped; the message is forgotten")
            return
        finally:
            output.end()
        if not self._quiet:
            say(summary(answer))
        if answer.finish_reason == "cancelled" and not is_interactive():
            raise KeyboardInterrupt

    def _answer(self, text: str, output: AnswerOutput) -> Generation:
        if not self._tools:
            return stream_answer(lambda: self._conversation.stream(text), output.take)

        def deliver(stream: TextStream) -> Generation:
            answer = stream_answer(lambda: stream, output.take)
            if answer.finish_reason == "cancelled" and (answer.tool_calls or not answer.text):
                # A call without a result, or a message without an answer, cannot be gone on with.
                raise KeyboardInterrupt
            return answer

        run = runner(ask=self._asks, quiet=self._quiet, before=output.end)
        return self._conversation._run_tools(text, {"tools": self._tools}, _ROUNDS, deliver, run)  # noqa: SLF001
