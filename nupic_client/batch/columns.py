"""The lines of a run as the columns of a table: OpenAI's form has those of the plain one."""

from __future__ import annotations

import base64
import itertools
import json
import struct
from collections.abc import Mapping
from typing import Any

from nupic_client.batch import openai_lines

__all__ = ["VECTORS", "columns_of"]

VECTORS = "embedding"
"""The column of a line's vector, or of its list of vectors."""


def columns_of(line: bytes) -> dict[str, Any]:
    """Return the columns of a line, of any form."""
    row: dict[str, Any] = json.loads(line)
    if b"\\ud" in line:
        row = _whole(row)
    if openai_lines.number_of(row) is None:
        return row
    found = {"id": row["custom_id"], "error": row["error"]}
    if row["response"] is None:
        return found
    body = row["response"]["body"]
    if body["object"] == "list":
        vectors = [_numbers(item["embedding"]) for item in body["data"]]
        return {**found, VECTORS: vectors[0] if len(vectors) == 1 else vectors}
    choice, usage = body["choices"][0], body["usage"] or {}
    message = choice.get("message", {})
    found["output"] = message["content"] if message else choice["text"]
    found["finish_reason"] = choice["finish_reason"]
    found["input_tokens"] = usage.get("prompt_tokens")
    found["output_tokens"] = usage.get("completion_tokens")
    logprobs = choice["logprobs"] or {}
    more = {
        "tool_calls": message.get("tool_calls"),
        "reasoning": message.get("reasoning_content"),
        "logprobs": _tokens(logprobs) if "tokens" in logprobs else logprobs.get("content"),
    }
    return {**found, **{name: value for name, value in more.items() if value is not None}}


def _tokens(logprobs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the log probabilities of a completion in the form of a chat, whose keys are no tokens."""

    def one(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "bytes": None, "logprob": logprob}

    tops = logprobs["top_logprobs"] or itertools.repeat({})
    return [
        {**one(token, logprob), "top_logprobs": list(itertools.starmap(one, top.items()))}
        for token, logprob, top in zip(logprobs["tokens"], logprobs["token_logprobs"], tops, strict=False)
    ]


def _numbers(vector: Any) -> list[float]:
    """Return a vector of OpenAI's as numbers, also one in base64."""
    if not isinstance(vector, str):
        return list(vector)
    data = base64.b64decode(vector)
    return [number for (number,) in struct.iter_unpack("<f", data)]


def _whole(value: Any) -> Any:
    """Return a value with U+FFFD for each half of a surrogate pair, which a table cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value
