"""The page about Chainlit: its application in Chainlit's server, and a socket as its page opens one."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from needed import need
from pages import write_files
from recipes.servers import RECIPES, echo, eventually, free_port, program, serving

from nupic_client.testing import FakeTriton

need("chainlit")

import socketio


@pytest.fixture(scope="module")
def triton() -> Iterator[FakeTriton]:
    with echo() as server:
        yield server


@pytest.fixture(scope="module")
def url(triton: FakeTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = write_files(RECIPES / "chainlit.md", tmp_path_factory.mktemp("chainlit"), triton.url)
    port = free_port()
    command = [program("chainlit"), "run", "app.py", "--headless", "--host", "127.0.0.1", "--port", str(port)]
    with serving(command, port, folder, HOME=str(folder)) as url:
        yield url


class Page:
    """What the page in a browser does."""

    def __init__(self, socket: socketio.AsyncClient) -> None:
        self.socket = socket
        self.tokens: list[str] = []
        self.messages: list[dict] = []
        self.started, self.ended = asyncio.Event(), asyncio.Event()
        socket.on("stream_start", lambda data: self.tokens.append(data["output"]))
        socket.on("stream_token", lambda data: self.tokens.append(data["token"]))
        socket.on("new_message", self.message)
        socket.on("update_message", self.message)
        socket.on("task_end", lambda *_: self.ended.set())

    def message(self, message: dict) -> None:
        if message["name"] == "on_chat_start" and message["end"]:
            self.started.set()
        if message["type"] == "assistant_message":
            self.messages.append(message)

    async def send(self, text: str) -> None:
        self.ended.clear()
        message = {
            "id": str(uuid.uuid4()),
            "name": "User",
            "type": "user_message",
            "output": text,
            "createdAt": None,
        }
        await self.socket.emit("client_message", {"message": message, "fileReferences": []})

    async def ask(self, text: str) -> str:
        await self.send(text)
        await asyncio.wait_for(self.ended.wait(), 60)
        return self.messages[-1]["output"]


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Page]:
    async with contextlib.AsyncExitStack() as stack:
        socket = socketio.AsyncClient()
        stack.push_async_callback(socket.disconnect)
        page = Page(socket)
        auth = {"sessionId": str(uuid.uuid4()), "clientType": "webapp", "userEnv": "{}"}
        await socket.connect(url, socketio_path="/ws/socket.io", auth=auth, wait_timeout=60)
        await socket.emit("connection_successful")
        await asyncio.wait_for(page.started.wait(), 60)
        yield page


def test_two_turns(url: str, triton: FakeTriton) -> None:
    async def talk() -> None:
        async with opened(url) as page:
            assert await page.ask("Hi") == "You said: Hi"
            assert "".join(page.tokens) == "You said: Hi"
            assert len(page.tokens) > 2
            assert await page.ask("And now?") == "You said: And now?"

    asyncio.run(talk())
    assert triton.requests[-1].prompt.endswith(
        "user\nHi<|im_end|>\n<|im_start|>assistant\nYou said: Hi"
        "<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_error_is_shown(url: str) -> None:
    async def talk() -> None:
        async with opened(url) as page:
            assert (await page.ask("fail")).startswith("InferenceError: the model failed: out of memory")
            assert await page.ask("Hi") == "You said: Hi"

    asyncio.run(talk())


@pytest.mark.parametrize("way", ["stop", "leave"])
def test_leaving_stops_the_model(url: str, triton: FakeTriton, way: str) -> None:
    before = len(triton.cancellations)

    async def talk() -> None:
        async with opened(url) as page:
            await page.send("silent")
            while not page.tokens:
                await asyncio.sleep(0.02)
            if way == "stop":
                await page.socket.emit("stop")
                await asyncio.to_thread(eventually, lambda: len(triton.cancellations) > before)

    asyncio.run(asyncio.wait_for(talk(), 90))
    eventually(lambda: len(triton.cancellations) > before)
