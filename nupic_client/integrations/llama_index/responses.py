"""A generation, and the events of a stream, as LlamaIndex's responses."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from nupic_client import (
    AsyncTextStream,
    Event,
    Finished,
    Generation,
    ReasoningDelta,
    TextDelta,
    TextStream,
    TokenLogprob,
    ToolArguments,
    ToolCall,
    ToolCallStarted,
)

__all__ = ["ChatAnswer", "CompletionAnswer", "GrowingAnswer", "chat_response", "completion_response"]

_RAW = (
    *("model", "request_id", "endpoint", "attempts", "finish_reason", "usage", "timing"),
    *("reasoning", "parsed", "invalid_tool_calls"),
)
"""The keys of ``raw``, the same in every response; all are None before the end of a stream."""


def chat_response(
    generation: Generation, *, several_calls: bool = True, delta: str | None = None
) -> ChatResponse:
    """Return the response of a finished generation.

    Args:
        generation: the generation.
        several_calls: whether the message has all calls of tools, or the first one only.
        delta: the new text, in a stream.
    """
    calls = generation.tool_calls if several_calls else generation.tool_calls[:1]
    return ChatResponse(
        message=_message(generation.reasoning or "", generation.text, [_call_block(call) for call in calls]),
        delta=delta,
        raw=_raw(generation),
        logprobs=_logprobs(generation),
        additional_kwargs=_usage(generation),
    )


def completion_response(generation: Generation, *, delta: str | None = None) -> CompletionResponse:
    """Return the response of a finished generation, as `chat_response`."""
    return CompletionResponse(
        text=generation.text,
        delta=delta,
        raw=_raw(generation),
        logprobs=_logprobs(generation),
        additional_kwargs=_usage(generation),
    )


class ChatAnswer:
    """The answer of a chat that is being streamed.

    Args:
        several_calls: as for `chat_response`.
    """

    def __init__(self, *, several_calls: bool = True) -> None:
        self._several_calls = several_calls
        self._text = ""
        self._reasoning = ""
        self._calls: dict[int, ToolCallBlock] = {}
        self._begun: int | None = None
        """The number of the call that is not complete."""

    def read(self, event: Event) -> ChatResponse:
        """Return the response with an event."""
        match event:
            case TextDelta():
                self._drop_begun()
                self._text += event.text
                return self._so_far(event.text)
            case ReasoningDelta():
                self._reasoning += event.text
                return self._so_far(thinking=event.text)
            case ToolCallStarted():
                self._begun = event.index
                self._calls[event.index] = ToolCallBlock(
                    tool_call_id=event.id, tool_name=event.name, tool_kwargs=""
                )
            case ToolArguments():
                block = self._calls[event.index]
                written = f"{block.tool_kwargs}{event.json_delta}"
                self._calls[event.index] = block.model_copy(update={"tool_kwargs": written})
            case ToolCall():
                number = len(self._calls) if self._begun is None else self._begun
                self._calls[number] = _call_block(event)
                self._begun = None
            case Finished():
                return chat_response(event.generation, several_calls=self._several_calls, delta="")
        return self._so_far()

    def _drop_begun(self) -> None:
        """Forget a call that never became complete: it is text."""
        if self._begun is not None:
            self._calls.pop(self._begun, None)
            self._begun = None

    def _so_far(self, delta: str = "", *, thinking: str = "") -> ChatResponse:
        calls = [*self._calls.values()]
        return ChatResponse(
            message=_message(self._reasoning, self._text, calls if self._several_calls else calls[:1]),
            delta=delta,
            raw=_raw(None),
            additional_kwargs={"thinking_delta": thinking} if thinking else {},
        )


class CompletionAnswer:
    """The answer of a completion that is being streamed."""

    def __init__(self) -> None:
        self._text = ""

    def read(self, event: Event) -> CompletionResponse | None:
        """Return the response with an event; None if a completion has no place for it."""
        match event:
            case TextDelta():
                self._text += event.text
                return CompletionResponse(text=self._text, delta=event.text, raw=_raw(None))
            case ReasoningDelta():
                others = {"thinking_delta": event.text}
                return CompletionResponse(text=self._text, delta="", raw=_raw(None), additional_kwargs=others)
            case Finished():
                return completion_response(event.generation, delta="")
        return None


class GrowingAnswer:
    """An answer in JSON that is being streamed.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: TextStream | AsyncTextStream) -> None:
        self._stream = stream
        self._told = 0

    def read(self, value: Any) -> ChatResponse:
        """Return the response with the value so far. The stream goes on with it, so it is copied."""
        text = self._stream.text
        raw = _raw(None) | {"parsed": copy.deepcopy(value)}
        return ChatResponse(message=_message("", text, []), delta=self._new(text), raw=raw)

    def last(self, generation: Generation) -> ChatResponse:
        """Return the response of the finished generation."""
        return chat_response(generation, delta=self._new(generation.text))

    def _new(self, text: str) -> str:
        new = text[self._told :]
        self._told = len(text)
        return new


def _message(reasoning: str, text: str, calls: list[ToolCallBlock]) -> ChatMessage:
    blocks: list[Any] = [ThinkingBlock(content=reasoning)] if reasoning else []
    if text or not calls:
        blocks.append(TextBlock(text=text))
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[*blocks, *calls])


def _call_block(call: ToolCall) -> ToolCallBlock:
    try:
        arguments: Any = call.parsed
    except ValueError:
        arguments = call.arguments
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=arguments)


def _raw(generation: Generation | None) -> dict[str, Any]:
    if generation is None:
        return dict.fromkeys(_RAW)
    reason = generation.finish_reason
    return {
        "model": generation.model,
        "request_id": generation.request_id,
        "endpoint": generation.endpoint,
        "attempts": len(generation.attempts),
        "finish_reason": None if reason is None else str(reason),
        "usage": _usage(generation) or None,
        "timing": dataclasses.asdict(generation.timing),
        "reasoning": generation.reasoning,
        "parsed": generation.parsed,
        "invalid_tool_calls": list(generation.invalid_tool_calls),
    }


def _usage(generation: Generation) -> dict[str, Any]:
    """Return the token counts that are known: what reads them adds them up."""
    usage = generation.usage
    counts: Mapping[str, int | None] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _logprobs(generation: Generation) -> list[list[LogProb]] | None:
    """Return the likeliest tokens at each place, or the one that was chosen where there are no others."""
    if generation.logprobs is None:
        return None
    return [[_logprob(each) for each in token.top_logprobs or (token,)] for token in generation.logprobs]


def _logprob(token: TokenLogprob) -> LogProb:
    text = token.token or ""
    return LogProb(token=text, logprob=token.logprob, bytes=list(text.encode(errors="surrogateescape")))
