"""One call of the chat model: what is asked, how the answer is told, and whether a second request is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk

from nupic_client import Event, Finished, Generation, Message, OutputError, StreamingClient, TextDelta, Usage
from nupic_client.integrations.langchain.answers import Chunks, answer_message, text_chunk, with_usage

__all__ = ["ChatCall"]


class ChatCall:
    """A call, which is one request as a rule.

    With tools and a form for the answer it may be two, because a server that enforces the form keeps the model from calling
    tools: the first request offers the tools, and its answer counts if it has calls, or has the form by itself. Else the
    second request asks for the form, without tools.

    Args:
        client: of the model.
        prompt: the conversation.
        options: of the call.
        one_call: whether only the first call of a tool is told.
    """

    def __init__(
        self,
        client: StreamingClient,
        prompt: tuple[Message, ...],
        options: Mapping[str, Any],
        *,
        one_call: bool = False,
    ) -> None:
        self.client = client
        self.prompt = prompt
        self.options: dict[str, Any] = dict(options)
        """Those of the next request."""
        self.again = False
        """Whether there is a next request after the one that was read."""
        self._most_calls = 1 if one_call else None
        self._second: dict[str, Any] | None = None
        self._before: Usage | None = None
        self._begin()
        if _wants_both(options):
            self._second = {**options, "tool_choice": "none"}
            self.options |= {"enforce": "validate", "output_retries": 0}

    def _begin(self) -> None:
        self._chunks = Chunks(self._most_calls)
        self._held: list[str] = []

    def read(self, event: Event) -> Iterator[ChatGenerationChunk]:
        """Yield the chunks of an event. A text that may be asked for again is held back until the end."""
        if isinstance(event, Finished):
            yield from self.ended(event.generation)
        elif self._second is not None and isinstance(event, TextDelta):
            self._held.append(event.text)
        else:
            yield from self._chunks.of(event)

    def ended(
        self, generation: Generation, error: OutputError | None = None
    ) -> Iterator[ChatGenerationChunk]:
        """Yield the last chunks of an answer that was streamed, or begin the next request."""
        held = "".join(self._held)
        generation = self._take(generation, error)
        if not self.again:
            if held:
                yield text_chunk(held)
            yield from self._chunks.last(generation, error)

    def message(self, generation: Generation, error: OutputError | None = None) -> AIMessage | None:
        """Return the answer; None where there is a next request."""
        generation = self._take(generation, error)
        return None if self.again else answer_message(generation, error)

    def failed(self, error: OutputError) -> Generation:
        """Return the answer that does not have the form it should have: LangChain's parsers say what is wrong with it."""
        generation: Generation = error.generation
        forced = not generation.tool_calls and not generation.text
        if forced and error.text:  # what a forced call was to be
            return replace(generation, invalid_tool_calls=(error.text,))
        return generation

    def _take(self, generation: Generation, error: OutputError | None) -> Generation:
        second, self._second = self._second, None
        self.again = second is not None and not generation.tool_calls and not _fits(generation, error)
        if self.again and second is not None:
            self._begin()
            self.options, self._before = second, generation.usage
            return generation
        if self._most_calls is not None:
            generation = replace(generation, tool_calls=generation.tool_calls[: self._most_calls])
        return with_usage(generation, self._before)


def _wants_both(options: Mapping[str, Any]) -> bool:
    choice = options.get("tool_choice") or "auto"
    return (
        bool(options.get("tools"))
        and options.get("response_format") is not None
        and choice == "auto"
        and options.get("enforce", "server") == "server"
    )


def _fits(generation: Generation, error: OutputError | None) -> bool:
    """Return whether a text has the form that it should have, and nothing around it."""
    if error is not None:
        return False
    try:
        json.loads(generation.text)
    except ValueError:
        return False
    return True
