"""`nupic-client chat`: a conversation at the terminal, or line by line from a pipe."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nupic_client
from nupic_client._suggest import did_you_mean
from nupic_client.cli import chat_commands
from nupic_client.cli.chat_commands import ALIASES, COMMANDS, HELP
from nupic_client.cli.chat_input import piped_messages, typed_messages
from nupic_client.cli.chat_session import ChatSession
from nupic_client.cli.connection import connect, other_client, require_formatter, same_server
from nupic_client.cli.credentials import TOKEN_VARIABLE, token_of
from nupic_client.cli.editor import editor
from nupic_client.cli.error_rendering import error_text
from nupic_client.cli.exit_codes import EPILOG, ExitCode
from nupic_client.cli.history import VARIABLE, ChatHistory
from nupic_client.cli.markdown import check_markdown
from nupic_client.cli.options import (
    add_generation_arguments,
    add_markdown_argument,
    add_reasoning_argument,
    sampling_options,
)
from nupic_client.cli.presence import check_model, streaming_models
from nupic_client.cli.terminal import complain, is_interactive, printable, say
from nupic_client.cli.tools import add_tool_arguments, check_knows_tools, load_tools
from nupic_client.errors import ConfigurationError, NupicError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nupic_client.streaming import StreamingClient
    from nupic_client.tools import Tool

__all__ = ["add_command", "run"]


def add_command(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "chat",
        help="talk with a model",
        description="Talk with a model. Each line is a message, typed or from a pipe; a pasted block is one message.",
        epilog=f"in the conversation:\n  {HELP.replace(chr(10), f'{chr(10)}  ')}\n\n{EPILOG}",
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
    add_markdown_argument(parser)
    parser.add_argument(
        "--no-history",
        action="store_true",
        help=f"do not keep what is typed for the next chat; ${VARIABLE}=off does that, too",
    )
    add_tool_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Talk until the input ends or the user leaves; input from a pipe also ends at the first error.

    A line that is not text is left out, wherever it comes from.

    Raises:
        NupicError: see `nupic_client.cli.exit_codes`.
    """
    check_markdown(asked=arguments.markdown)
    tools = load_tools(arguments)
    interactive = is_interactive()
    lost: list[ConfigurationError] = []
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(connect(arguments))
        require_formatter(arguments, client)
        if tools:
            check_knows_tools(client)
        chat = _Chat(client, arguments, tools, stack)
        if interactive:
            check_model(same_server(stack, arguments, client), client)
            say(f"{client.model.server_name} at {client.url} · /help lists the commands, Ctrl-D leaves")
        for message in _messages(chat, arguments, lost):
            try:
                chat.take(message)
            except NupicError as error:
                if not interactive:
                    raise
                complain(error_text(error, arguments))
            except KeyboardInterrupt:
                if not interactive:
                    raise
                say("stopped")
            if chat.over:
                break
    return ExitCode.USAGE if lost and not interactive else ExitCode.OK


def _messages(chat: _Chat, arguments: argparse.Namespace, lost: list[ConfigurationError]) -> Iterator[str]:
    if not is_interactive():
        return piped_messages(lambda error: _lose(lost, error))
    history = ChatHistory.of_user(
        kept=not arguments.no_history, secrets=[token_of(arguments, TOKEN_VARIABLE) or ""]
    )
    return typed_messages(editor(history, chat.completions), lambda error: _lose(lost, error))


def _lose(lost: list[ConfigurationError], error: ConfigurationError) -> None:
    complain(f"{error.message}; the line is left out")
    lost.append(error)


class _Chat:
    """A chat and the commands that change it."""

    def __init__(
        self,
        client: StreamingClient,
        arguments: argparse.Namespace,
        tools: Sequence[Tool],
        stack: contextlib.ExitStack,
    ) -> None:
        self._arguments = arguments
        self._session = ChatSession(client, arguments, tools)
        self._stack = stack
        self._models: list[str] | None = None
        self.over = False

    def take(self, message: str) -> None:
        """Run a command, or send the message to the model."""
        first, _, rest = message.strip().partition(" ")
        if re.fullmatch(r"/[a-z]+|/\?", first):
            self._command(ALIASES.get(first, first), rest.strip())
        elif message.strip():
            # The first line of a pasted block may have an indent.
            self._session.say(message.strip("\r\n").rstrip() if "\n" in message else message.strip())

    def completions(self, line: str) -> list[str]:
        """Return what the last word of a line may become."""
        return chat_commands.completions(line, self._model_names)

    def _command(self, name: str, text: str) -> None:
        commands = {
            "/exit": self._leave,
            "/help": lambda _: say(HELP),
            "/undo": self._undo,
            "/clear": self._clear,
            "/system": self._system,
            "/model": self._model,
            "/set": self._set,
            "/retry": lambda _: self._session.retry(),
            "/stats": lambda _: say(self._session.statistics()),
            "/save": self._save,
            "/load": self._load,
            "/edit": self._edit,
        }
        if name not in commands:
            near = did_you_mean(name, COMMANDS)
            raise ConfigurationError(f"there is no command {name}: {near}/help lists them")
        commands[name](text)

    def _leave(self, _: str) -> None:
        self.over = True

    def _undo(self, _: str) -> None:
        count = len(self._session.conversation.undo())
        say("the last message and its answer are forgotten" if count else "there is no message to forget")

    def _clear(self, _: str) -> None:
        self._session.conversation.clear()
        say("the conversation is forgotten")

    def _system(self, text: str) -> None:
        conversation = self._session.conversation
        conversation.system = text or conversation.system
        say(f"system prompt: {conversation.system or '(the default one of the model)'}")

    def _model(self, name: str) -> None:
        current = self._session.client.model.server_name
        if not name:
            others = [model for model in self._model_names() if model != current]
            say(f"model: {current}" + (f"; others here: {printable(', '.join(others))}" if others else ""))
            return
        with contextlib.ExitStack() as opened:
            client = opened.enter_context(other_client(self._arguments, self._session.client, name))
            check_model(same_server(opened, self._arguments, client), client)
            require_formatter(self._arguments, client)
            self._session.use(client)
            self._stack.push(opened.pop_all())
        say(f"model: {client.model.server_name}; the conversation goes on with it")

    def _model_names(self) -> list[str]:
        """Return the names of the models that can be used here, asked for once."""
        if self._models is None:
            with contextlib.ExitStack() as stack:
                server = same_server(stack, self._arguments, self._session.client, timeout=2.0)
                self._models = streaming_models(server)
        return self._models

    def _set(self, text: str) -> None:
        session = self._session
        given, _, value = text.partition(" ")
        name = chat_commands.setting_name(given) if given else ""
        value = value.strip()
        if not name:
            switches = {key: chat_commands.SWITCHES[key][not on] for key, on in session.switches.items()}
            shown = {**sampling_options(self._arguments), **session.options, **switches}
            words = (f"{key} {'default' if value is None else value}" for key, value in shown.items())
            say(printable("; ".join(words)))
        elif name in session.switches:
            if value:
                on = chat_commands.read_switch(name, value)
                check_markdown(asked=on and name == "markdown")
                session.switches[name] = on
            say(f"{name}: {chat_commands.SWITCHES[name][not session.switches[name]]}")
        else:
            if value == "default":
                # What was given on the command line is taken back, too.
                session.options[name] = None
            elif value:
                session.options[name] = chat_commands.option_value(name, value)
            now = session.options.get(name, getattr(self._arguments, name))
            say(f"{name}: {'the default' if now is None else printable(str(now))}")

    def _save(self, name: str) -> None:
        with _file_errors("/save", name) as file:
            self._session.conversation.save(file)
        say(f"saved: {len(self._session.conversation.messages)} messages")

    def _load(self, name: str) -> None:
        session = self._session
        with _file_errors("/load", name) as file:
            session.conversation = nupic_client.Conversation.load(file, session.client, **session.limits)
        say(f"loaded: {len(session.conversation.messages)} messages")

    def _edit(self, text: str) -> None:
        if not is_interactive():
            raise ConfigurationError("/edit must be used at a terminal")
        written = _edited(text).strip()
        if not written:
            say("nothing was written")
            return
        say("\n".join(map(printable, written.splitlines())))
        self._session.say(written)


@contextlib.contextmanager
def _file_errors(command: str, name: str) -> Iterator[Path]:
    if not name:
        raise ConfigurationError(f"{command} needs the name of a file")
    try:
        yield Path(name).expanduser()
    except OSError as error:
        raise ConfigurationError(f"{command} {name}: {error.strerror}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{command} {name}: {error.message}") from None


def _edited(text: str) -> str:
    """Return what the user writes in an editor."""
    import shlex  # noqa: PLC0415 - only this command needs them
    import subprocess  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    program = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
    with tempfile.TemporaryDirectory(prefix="nupic-chat-") as folder:
        file = Path(folder, "message.md")
        file.write_text(text, encoding="utf-8")
        # Windows takes a line, in which a backslash is a part of a path.
        command = f'{program} "{file}"' if os.name == "nt" else [*shlex.split(program), str(file)]
        try:
            code = subprocess.call(command)  # noqa: S603 - the user's own editor
        except OSError as error:
            raise ConfigurationError(f"/edit cannot start {program!r}: {error.strerror}") from None
        if code:
            raise ConfigurationError(f"/edit: {program!r} ended with code {code}")
        return file.read_text(encoding="utf-8", errors="replace")
