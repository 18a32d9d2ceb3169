"""The methods of an LLM of LlamaIndex, called in one way whether they block, await, stream or not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

__all__ = ["CHATS", "COMPLETIONS", "METHODS", "STREAMS", "ask", "run", "sync_twin"]

CHATS = ("chat", "achat", "stream_chat", "astream_chat")
COMPLETIONS = ("complete", "acomplete", "stream_complete", "astream_complete")
METHODS = CHATS + COMPLETIONS
STREAMS = tuple(method for method in METHODS if "stream" in method)


def run(work: Any) -> list[Any]:
    """Return what a method gives as a list: awaited where it is a coroutine, read where it is a stream."""
    if inspect.iscoroutine(work):

        async def awaited() -> list[Any]:
            found = await work
            return [each async for each in found] if isinstance(found, AsyncIterator) else [found]

        return asyncio.run(awaited())
    return [*work] if isinstance(work, Iterator) else [work]


def ask(llm: Any, method: str, text: str, **options: Any) -> list[Any]:
    """Return the responses of a method to what a user says."""
    from llama_index.core.llms import ChatMessage  # noqa: PLC0415 - it may be missing

    asked = [ChatMessage(text)] if method in CHATS else text
    return run(getattr(llm, method)(asked, **options))


def sync_twin(method: str) -> str:
    """Return the name of the sync method of an async one."""
    stem = method.lstrip("_")
    return method.replace(stem, stem[1:], 1) if stem.startswith(("achat", "acomplete", "astr")) else method
