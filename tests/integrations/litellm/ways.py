"""The four ways to ask LiteLLM, each with the same answer."""

from __future__ import annotations

import asyncio
from typing import Any

WAYS = ("completion", "acompletion", "streaming", "astreaming")
MODEL = "nupic/gpt.streaming"


def ask(litellm: Any, way: str, url: str, text: str = "Hello", **call: Any) -> Any:
    """Return LiteLLM's response; that of a stream is joined as LiteLLM does it."""
    call = {
        "model": MODEL,
        "api_base": url,
        "formatter": "qwen3",
        "messages": [{"role": "user", "content": text}],
        **call,
    }
    match way:
        case "completion":
            return litellm.completion(**call)
        case "acompletion":
            return asyncio.run(litellm.acompletion(**call))
        case "streaming":
            chunks = [*litellm.completion(stream=True, stream_options={"include_usage": True}, **call)]
        case _:
            chunks = asyncio.run(astream(litellm, call))
    return litellm.stream_chunk_builder(chunks)


async def astream(litellm: Any, call: dict[str, Any]) -> list[Any]:
    stream = await litellm.acompletion(stream=True, stream_options={"include_usage": True}, **call)
    return [chunk async for chunk in stream]
