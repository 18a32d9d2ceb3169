"""Generations and events of streams as LiteLLM's responses and chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litellm.types.utils import (
    ChatCompletionTokenLogprob,
    ChoiceLogprobs,
    Choices,
    Delta,
    Message,
    ModelResponseStream,
    StreamingChoices,
    TopLogprob,
    Usage,
)

from nupic_client import (
    Event,
    FinishReason,
    Generation,
    OutputError,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolArguments,
    ToolCallStarted,
)

__all__ = ["Chunks", "cut_short", "fill_embeddings", "fill_response"]


def fill_response(response: Any, generation: Generation, model: str) -> Any:
    """Write a generation into the response that LiteLLM has made for it, and return that.

    Args:
        response: a ``ModelResponse``.
        generation: the generation.
        model: its name in the response.
    """
    message: dict[str, Any] = {"role": "assistant", "content": generation.text or None}
    if generation.tool_calls:
        message["tool_calls"] = [call.as_dict() for call in generation.tool_calls]
    else:
        message["content"] = generation.text
    if generation.reasoning is not None:
        message["reasoning_content"] = generation.reasoning
    logprobs = _logprobs(generation.logprobs)
    choice = {"logprobs": logprobs} if logprobs is not None else {}
    response.id = generation.request_id
    response.model = model
    response.choices = [
        Choices(index=0, finish_reason=_finish_reason(generation), message=Message(**message), **choice)
    ]
    usage = _usage(generation)
    if usage is None:
        del response.usage  # zeros would be added up
    else:
        response.usage = Usage(**usage)
    response._hidden_params.update(_facts(generation))  # noqa: SLF001 - where LiteLLM keeps what is no part of OpenAI's form
    return response


def fill_embeddings(response: Any, vectors: Any, model: str) -> Any:
    """Write vectors into the response that LiteLLM has made for them, and return that.

    Args:
        response: an ``EmbeddingResponse``.
        vectors: an array with a row for each text.
        model: its name in the response.
    """
    response.model = model
    response.object = "list"
    response.data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors.tolist())
    ]
    return response


class Chunks:
    """The chunks of one stream.

    Args:
        model: its name in the chunks.
        id: the id of all of them.
    """

    def __init__(self, model: str, id: str) -> None:  # noqa: A002 - OpenAI's name
        self._same = {"model": model, "id": id}
        self._first = True

    def of(self, event: Event) -> Any:
        """Return the chunk of an event, or None where it has none."""
        logprobs = None
        match event:
            case TextDelta():
                delta: dict[str, Any] = {"content": event.text}
                logprobs = _logprobs(event.logprobs)
            case ReasoningDelta():
                delta = {"reasoning_content": event.text}
            case ToolCallStarted():
                call = {"id": event.id, "type": "function", "function": {"name": event.name, "arguments": ""}}
                delta = {"tool_calls": [{"index": event.index, **call}]}
            case ToolArguments():
                piece = {"index": event.index, "function": {"arguments": event.json_delta}}
                delta = {"tool_calls": [piece]}
            case _:
                return None
        if self._first:
            self._first = False
            delta["role"] = "assistant"
        choice = StreamingChoices(index=0, delta=Delta(**delta), logprobs=logprobs)
        return ModelResponseStream(choices=[choice], **self._same)

    def last(self, generation: Generation) -> Mapping[str, Any]:
        """Return the chunk that ends the stream, in LiteLLM's own form: the only one whose usage it reads."""
        return {
            "text": "",
            "is_finished": True,
            "finish_reason": _finish_reason(generation),
            "usage": _usage(generation),
            "index": 0,
        }


def cut_short(error: OutputError) -> Generation:
    """Return the generation of an answer that lacks its form because ``max_tokens`` cut it, which is no error for OpenAI.

    Args:
        error: the error of the answer.

    Raises:
        OutputError: the same, if that was not the reason.
    """
    generation = error.generation
    if isinstance(generation, Generation) and generation.finish_reason == FinishReason.LENGTH:
        return generation
    raise error


def _finish_reason(generation: Generation) -> str:
    if generation.tool_calls:
        return "tool_calls"
    return "length" if generation.finish_reason == FinishReason.LENGTH else "stop"


def _usage(generation: Generation) -> dict[str, int] | None:
    usage = generation.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _facts(generation: Generation) -> dict[str, Any]:
    timing = generation.timing
    return {
        "time_to_first_token": timing.time_to_first_token,
        "tokens_per_second": timing.tokens_per_second,
        "endpoint": generation.endpoint,
        "attempts": len(generation.attempts),
    }


def _logprobs(tokens: Sequence[TokenLogprob] | None) -> Any:
    if tokens is None:
        return None
    content = [
        ChatCompletionTokenLogprob(
            **_token(token), top_logprobs=[TopLogprob(**_token(each)) for each in token.top_logprobs]
        )
        for token in tokens
    ]
    return ChoiceLogprobs(content=content)


def _token(token: TokenLogprob) -> dict[str, Any]:
    text = token.token or ""  # some backends give numbers only
    return {"token": text, "bytes": list(text.encode()), "logprob": token.logprob}
