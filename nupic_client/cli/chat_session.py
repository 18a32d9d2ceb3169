"""A conversation at the terminal: its settings, and the messages that are sent."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, cast

import nupic_client
from nupic_client._terminal import is_terminal
from nupic_client.cli.answer import answer_output, stream_answer
from nupic_client.cli.options import shows_reasoning
from nupic_client.cli.report import summary
from nupic_client.cli.terminal import is_interactive, printable, say
from nupic_client.cli.tools import runner, stream_tool_rounds
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from nupic_client.cli.answer import AnswerOutput
    from nupic_client.messages import Message
    from nupic_client.options import GenerateOptions
    from nupic_client.results import Generation
    from nupic_client.streaming import StreamingClient
    from nupic_client.tools import Tool

__all__ = ["ChatSession"]


class ChatSession:
    """A conversation with the settings of a chat.

    Args:
        client: the model to talk to.
        arguments: of the command.
        tools: the functions that the model may call.
    """

    def __init__(self, client: StreamingClient, arguments: argparse.Namespace, tools: Sequence[Tool]) -> None:
        self.client: StreamingClient = client
        self.limits: dict[str, Any] = {"context_length": arguments.context_length}
        self.conversation: nupic_client.Conversation = nupic_client.Conversation(
            client, system=arguments.system, **self.limits
        )
        self.options: dict[str, Any] = {}
        """The options of the requests that the user has set in this chat."""
        self.switches: dict[str, bool] = {
            "reasoning": shows_reasoning(arguments),
            "markdown": bool(arguments.markdown),
            "stats": not arguments.quiet,
        }
        self._tools = tools
        self._tool_choice = {} if arguments.tool_choice is None else {"tool_choice": arguments.tool_choice}
        self._asks = not arguments.yes_tools
        self._started = time.monotonic()
        self._last: Generation | None = None
        self._answers = self._tokens = 0

    def use(self, client: StreamingClient) -> None:
        """Go on with another model."""
        earlier = self.conversation
        self.conversation = nupic_client.Conversation(
            client, system=earlier.system, messages=earlier.messages, **self.limits
        )
        self.client = client

    def retry(self) -> None:
        """Ask the last message again; without a new answer the older one stays.

        Raises:
            ConfigurationError: there is none.
            NupicError: the request failed.
        """
        before = self.conversation.messages
        dropped = self.conversation.undo()
        if not dropped:
            raise ConfigurationError("there is no message to ask again")
        try:
            self.say(dropped[0])
        finally:
            if len(self.conversation.messages) == len(before) - len(dropped):
                self.conversation.messages = before

    def say(self, message: str | Message) -> None:
        """Send a message; the conversation keeps it with its answer, complete or not.

        Raises:
            NupicError: the request failed.
            KeyboardInterrupt: Ctrl-C, where nobody types.
        """
        output = answer_output(reasoning=self.switches["reasoning"], markdown=self.switches["markdown"])
        content = message if isinstance(message, str) else message.content
        try:
            answer = self._answer(content, output)
        except KeyboardInterrupt:
            if not is_interactive():
                raise
            output.end()
            # The terminal shows ^C before it.
            say(f"{_line_end()}stopped; the message is forgotten")
            return
        finally:
            output.end()
        self._last = answer
        self._answers += 1
        self._tokens += answer.usage.output_tokens or 0
        if self.switches["stats"]:
            say(summary(answer))
        if answer.finish_reason == "cancelled" and not is_interactive():
            raise KeyboardInterrupt

    def statistics(self) -> str:
        """Return the figures of the last answer and of the chat."""
        lines = [f"model     {self.client.model.server_name} at {self.client.url}"]
        if self._last is not None:
            lines += [f"last      {summary(self._last)}"]
            used = self._last.usage
            if used.input_tokens is not None:
                lines += [f"prompt    {used.input_tokens} tokens"]
        counted = f" · {self._tokens} tokens" if self._tokens else ""
        lines += [
            f"chat      {self._answers} answers{counted} · {time.monotonic() - self._started:.0f} s",
            f"messages  {len(self.conversation.messages)}",
        ]
        return "\n".join(map(printable, lines))

    def _answer(self, content: Any, output: AnswerOutput) -> Generation:
        options = {**self.options, **({"reasoning": "separate"} if self.switches["reasoning"] else {})}
        if not self._tools:
            return stream_answer(lambda: self.conversation.stream(content, **options), output.take)

        run = runner(self._tools, ask=self._asks, quiet=not self.switches["stats"], before=output.end)
        given = cast("GenerateOptions", {"tools": self._tools, **self._tool_choice, **options})
        return stream_tool_rounds(self.conversation, content, given, run=run, output=output, take=output.take)


def _line_end() -> str:
    return "\n" if is_terminal(sys.stderr) else ""
