"""A chat in the browser: ``uvicorn app:app`` here, then open http://127.0.0.1:8000.

It needs ``pip install fastapi uvicorn`` and a model at ``$NUPIC_URL``, or at localhost:8001: ``nupic-client serve``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel

from nupic_client import AsyncTextStream, PromptError, RequestError, StreamingClient, system

client = StreamingClient("smollm2")  # one for the whole application


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the connection when the server stops."""
    yield
    await client.aclose()


app = FastAPI(lifespan=lifespan)


class Chat(BaseModel):
    """What the browser sends: the whole conversation, each message with its role and content."""

    messages: list[dict[str, str]]


@app.get("/")
async def page() -> FileResponse:
    """Send the page."""
    return FileResponse(Path(__file__).with_name("index.html"))


@app.post("/chat")
async def chat(chat: Chat) -> StreamingResponse:
    """Stream the next message of a conversation as plain text."""
    messages = [system("You are a helpful AI assistant."), *chat.messages]
    try:
        stream = client.astream(messages, max_tokens=300, temperature=0.3, timeout=120)
        first = await anext(stream, "")  # before the status is sent: an error can still be a status
    except PromptError as error:
        raise HTTPException(400, str(error)) from error
    except RequestError as error:
        raise HTTPException(503, "the model does not answer") from error
    return StreamingResponse(texts(first, stream), media_type="text/plain; charset=utf-8")


async def texts(first: str, stream: AsyncTextStream) -> AsyncIterator[str]:
    """Yield the answer. When the browser leaves, so does this, and the model stops."""
    async with stream:
        yield first
        async for text in stream:
            yield text
