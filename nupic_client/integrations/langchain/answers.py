"""Generations and their events as LangChain's messages and chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from nupic_client import (
    Event,
    Generation,
    OutputError,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolArguments,
    ToolCall,
    ToolCallStarted,
    Usage,
)

__all__ = ["Chunks", "answer_facts", "answer_message", "usage_metadata", "with_usage"]

PROVIDER = "nupic"
_FAILED = "the model's call cannot be read"


def answer_message(generation: Generation, error: OutputError | None = None) -> AIMessage:
    """Return an answer as a message.

    Args:
        generation: the answer.
        error: what is wrong with its form, where one was asked for.
    """
    calls, invalid = (
        [],
        [
            invalid_tool_call(name=None, args=text, id=None, error=_FAILED)
            for text in generation.invalid_tool_calls
        ],
    )
    for call in generation.tool_calls:
        try:
            calls.append(tool_call(name=call.name, args=call.parsed, id=call.id))
        except ValueError as wrong:
            invalid.append(
                invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=str(wrong))
            )
    thoughts = {} if generation.reasoning is None else {"reasoning_content": generation.reasoning}
    return AIMessage(
        content=generation.text,
        additional_kwargs=thoughts,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(generation.usage),
        response_metadata=answer_facts(generation, error),
    )


def answer_facts(generation: Generation, error: OutputError | None = None) -> dict[str, Any]:
    """Return what is known of an answer besides its parts, for ``response_metadata``; what is not known is left out."""
    timing = generation.timing
    reason = None if generation.finish_reason is None else str(generation.finish_reason)
    facts = {
        "model_name": generation.model,
        "model_provider": PROVIDER,
        "finish_reason": "tool_calls" if generation.tool_calls else reason,
        "request_id": generation.request_id,
        "endpoint": generation.endpoint or None,
        "attempts": len(generation.attempts),
        "total_time": timing.total,
        "time_to_first_token": timing.time_to_first_token,
        "time_to_answer": timing.time_to_answer,
        "tokens_per_second": timing.tokens_per_second,
        "logprobs": None if generation.logprobs is None else [*map(_logprob, generation.logprobs)],
        "violations": None if error is None else list(error.violations),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _logprob(of: TokenLogprob) -> dict[str, Any]:
    told = {"token": of.token, "token_id": of.token_id, "logprob": of.logprob}
    more = {"top_logprobs": [*map(_logprob, of.top_logprobs)]} if of.top_logprobs else {}
    return {name: value for name, value in (told | more).items() if value is not None}


def usage_metadata(usage: Usage) -> UsageMetadata | None:
    """Return the numbers of tokens; None where the server does not count them all, never zeros."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
    )


def with_usage(generation: Generation, before: Usage | None) -> Generation:
    """Return a generation that has the tokens of an earlier request too; unknown where one of them is."""
    if before is None:
        return generation
    usage = generation.usage
    both = Usage(
        input_tokens=_sum(before.input_tokens, usage.input_tokens),
        output_tokens=_sum(before.output_tokens, usage.output_tokens),
    )
    return replace(generation, usage=both)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


class Chunks:
    """The chunks of a streamed answer, event by event.

    Args:
        most_calls: how many calls of tools are told; None for all.
    """

    def __init__(self, most_calls: int | None = None) -> None:
        self._most_calls = most_calls
        self._open: dict[int, list[str]] = {}
        self._current = -1

    def of(self, event: Event) -> Iterator[ChatGenerationChunk]:
        """Yield what an event is; the end is told by `last`."""
        if isinstance(event, TextDelta):
            if event.text:
                yield text_chunk(event.text)
        elif isinstance(event, ReasoningDelta):
            yield _chunk(additional_kwargs={"reasoning_content": event.text})
        elif isinstance(event, ToolCallStarted):
            self._current = event.index
            if self._most_calls is None or event.index < self._most_calls:
                self._open[event.index] = []
                yield _call_chunk(event.index, name=event.name, id=event.id, args="")
        elif isinstance(event, ToolArguments):
            if event.index in self._open:
                self._open[event.index].append(event.json_delta)
                yield _call_chunk(event.index, args=event.json_delta)
        elif isinstance(event, ToolCall):
            self._open.pop(self._current, None)

    def last(self, generation: Generation, error: OutputError | None = None) -> Iterator[ChatGenerationChunk]:
        """Yield the last chunk, which has the facts of the answer; and before it the ends of calls that have none."""
        for index, pieces in self._open.items():
            # LangChain completes JSON that was cut, so that a tool would run with half of its arguments.
            yield _call_chunk(index, args=_no_json_after("".join(pieces)))
        yield _chunk(
            chunk_position="last",
            usage_metadata=usage_metadata(generation.usage),
            response_metadata=answer_facts(generation, error),
        )


def text_chunk(text: str) -> ChatGenerationChunk:
    """Return a piece of the answer's text."""
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def _chunk(**fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content="", **fields))


def _call_chunk(index: int, **fields: Any) -> ChatGenerationChunk:
    return _chunk(tool_call_chunks=[tool_call_chunk(index=index, **fields)])


def _no_json_after(beginning: str) -> str:
    """Return what makes the beginning of an object no JSON whatever is added: the wrong bracket, outside of texts."""
    inside, escaped, brackets = False, False, [""]
    for char in beginning:
        if inside:
            inside, escaped = (char != '"' or escaped), (char == "\\" and not escaped)
        elif char == '"':
            inside = True
        elif char in "{[":
            brackets.append("}" if char == "{" else "]")
        elif char in "}]":
            brackets.pop()
    closed = ("\\" if escaped else "") + ('"' if inside else "")
    return closed + ("}" if brackets[-1] == "]" else "]")
