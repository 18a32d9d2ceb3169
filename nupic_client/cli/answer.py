"""Stream one answer to the terminal and stop it on Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.cli.terminal import TextOutput, colours, shown_on_stdout
from nupic_client.results import ReasoningDelta, TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from nupic_client._sync.stream import TextStream
    from nupic_client.results import Event, Generation

__all__ = ["AnswerOutput", "answer_output", "stream_answer"]

_DIM, _PLAIN = "\033[2m", "\033[0m"


class AnswerOutput:
    """Write an answer to stdout as it arrives.

    Args:
        reasoning: write the model's reasoning before the answer, with an empty line between them: dimmed on a terminal.
    """

    def __init__(self, *, reasoning: bool) -> None:
        self._output = TextOutput()
        self._shows_reasoning = reasoning
        self._thinks = False

    def take(self, event: Event) -> None:
        """Write what an event of the stream brings.

        Raises:
            OutputError: stdout does not take it.
            BrokenPipeError: its reader has gone.
        """
        if isinstance(event, TextDelta):
            self.write(event.text)
        elif isinstance(event, ReasoningDelta):
            self.think(event.text)

    def write(self, text: str) -> None:
        """Write a chunk of the answer; raises as `take`."""
        self.end_thinking()
        self._output.write(text)

    def end_thinking(self) -> None:
        """Write an empty line after the reasoning, if there was any; raises as `take`."""
        if self._thinks:
            self._thinks = False
            self._output.end()
            self._output.write("\n")

    def think(self, text: str) -> None:
        """Write a chunk of reasoning, if it is to be shown; raises as `take`."""
        if not self._shows_reasoning:
            return
        self._thinks = True
        if not colours():
            self._output.write(text)
            return
        # Each chunk ends its own style: whatever happens next, the terminal is as it was.
        shown = shown_on_stdout(text)
        line = shown.rstrip("\n")
        if line:
            self._output.write_styled(f"{_DIM}{line}{_PLAIN}")
        if len(shown) > len(line):
            self._output.write_styled(shown[len(line) :])

    def end(self) -> None:
        """Write a newline if the last line is not complete; raises as `take`."""
        self._output.end()


def answer_output(*, reasoning: bool, markdown: bool = False) -> AnswerOutput:
    """Return the output of an answer.

    Args:
        reasoning: as for `AnswerOutput`.
        markdown: draw the answer's Markdown, if stdout is a terminal with colours.
    """
    if markdown and colours():
        from nupic_client.cli.markdown import MarkdownOutput  # noqa: PLC0415 - of the extra chat

        return MarkdownOutput(reasoning=reasoning)
    return AnswerOutput(reasoning=reasoning)


def stream_answer(start: Callable[[], TextStream], take: Callable[[Event], object]) -> Generation:
    """Stream an answer and return it; Ctrl-C cancels it on the server and returns the text so far.

    Args:
        start: sends the request.
        take: called with each event of the stream.

    Raises:
        NupicError: the request is wrong or failed.
        KeyboardInterrupt: Ctrl-C before the request was sent.
    """
    stream = start()
    try:
        with stream:
            for event in stream.events():
                take(event)
    except KeyboardInterrupt:
        stream.close()
    return stream.result()
