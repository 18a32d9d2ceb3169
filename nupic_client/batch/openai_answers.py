"""Answers as OpenAI's objects: ``chat.completion``, ``text_completion`` and the list of vectors."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any

from nupic_client.batch.row import Embedding, Row, RowError
from nupic_client.results import FinishReason, Generation, TokenLogprob

__all__ = ["PREFIX", "answer", "chat_logprobs", "embedded", "failure", "vector_values"]

PREFIX = "batch_req_"
"""Before the number of the line in an answer's id, by which a resumed run knows it."""
_LEAST_LOGPROB = -9999.0
"""OpenAI's number for a token that is next to impossible; JSON has no infinity."""


def answer(row: Row, generation: Generation) -> dict[str, Any]:
    """Return the object of the line for a generation."""
    chat = row.form == "chat"
    usage = generation.usage
    body = {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{generation.request_id}",
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": generation.model,
        "choices": [_chat_choice(row, generation) if chat else _text_choice(generation)],
        "usage": None
        if usage.total_tokens is None
        else {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        },
    }
    return _line(row, generation.request_id, body)


def embedded(row: Row, embedding: Embedding) -> dict[str, Any]:
    """Return the object of the line for vectors. The protocol counts no tokens for them, so that its usage is zero."""
    body = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vector_values(embedding, row.asks.get("encoding_format")))
        ],
        "model": embedding.model,
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
    }
    return _line(row, embedding.request_id, body)


def vector_values(embedding: Embedding, form: str | None = None) -> list[Any]:
    """Return the vectors as lists of numbers, or with ``"base64"`` as texts of their little-endian float32."""
    if form == "base64":
        return [
            base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii") for vector in embedding.vectors
        ]
    values: list[Any] = embedding.vectors.tolist()
    return values


def failure(row: Row, error: RowError) -> dict[str, Any]:
    """Return the object of the line for an error."""
    return {
        "id": f"{PREFIX}{row.number}",
        "custom_id": row.custom_id,
        "response": None,
        "error": {"code": error.code, "message": error.message},
    }


def _line(row: Row, request_id: str, body: dict[str, Any]) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": request_id, "body": body}
    return {"id": f"{PREFIX}{row.number}", "custom_id": row.custom_id, "response": response, "error": None}


def _chat_choice(row: Row, generation: Generation) -> dict[str, Any]:
    calls = generation.tool_calls[:1] if row.asks.get("one_call") else generation.tool_calls
    message: dict[str, Any] = {"role": "assistant", "content": generation.text}
    if calls:
        message["content"] = generation.text or None
        message["tool_calls"] = [call.as_dict() for call in calls]
    if generation.reasoning is not None:
        message["reasoning_content"] = generation.reasoning
    logprobs = generation.logprobs
    return {
        "index": 0,
        "message": message,
        "logprobs": None if logprobs is None else {"content": chat_logprobs(logprobs), "refusal": None},
        "finish_reason": "tool_calls" if calls else _finish_reason(generation),
    }


def _text_choice(generation: Generation) -> dict[str, Any]:
    logprobs = generation.logprobs
    return {
        "index": 0,
        "text": generation.text,
        "logprobs": None if logprobs is None else _text_logprobs(logprobs),
        "finish_reason": _finish_reason(generation),
    }


def _finish_reason(generation: Generation) -> str:
    """Return OpenAI's reason, which is never null there: a text that has ended was not cut, unless the server says so."""
    return "length" if generation.finish_reason is FinishReason.LENGTH else "stop"


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """Return the log probabilities of tokens in the form of a chat."""
    return [
        {**_token(token), "top_logprobs": [_token(each) for each in token.top_logprobs]} for token in tokens
    ]


def _token(token: TokenLogprob) -> dict[str, Any]:
    text = token.token
    # A token may be a part of a character: its bytes are not known then. Some backends give numbers only.
    whole = text is not None and "\ufffd" not in text
    data = list(text.encode(errors="surrogatepass")) if text is not None and whole else None
    return {"token": text or "", "bytes": data, "logprob": _logprob(token)}


def _text_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Return the log probabilities of tokens in the form of a completion."""
    texts = [token.token or "" for token in tokens]
    offsets = [0]
    for text in texts:
        offsets.append(offsets[-1] + len(text))
    tops = [{each.token or "": _logprob(each) for each in token.top_logprobs} for token in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [_logprob(token) for token in tokens],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": offsets[:-1],
    }


def _logprob(token: TokenLogprob) -> float:
    return max(token.logprob, _LEAST_LOGPROB)
