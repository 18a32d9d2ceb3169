"""One client for many threads, tasks and loops: everyone gets exactly their own text."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from facade.conftest import BOTH_KINDS

from nupic_client import StreamingClient
from nupic_client.testing import FakeTriton, sleep

CLIENT_KINDS = BOTH_KINDS


def own_text(request):
    return [step for index in range(5) for step in (f"{request.prompt}:{index};", sleep(0.005))]


def expected(prompt: str) -> str:
    return "".join(f"{prompt}:{index};" for index in range(5))


@pytest.fixture
def server():
    with FakeTriton(own_text) as server:
        yield server


def test_fifty_threads(client):
    prompts = [f"thread{index}" for index in range(50)]
    with ThreadPoolExecutor(50) as pool:
        texts = list(pool.map(lambda prompt: client.generate(prompt).text, prompts))
    assert texts == [expected(prompt) for prompt in prompts]


def test_two_hundred_tasks(client):
    prompts = [f"task{index}" for index in range(200)]

    async def main() -> list[str]:
        return [generation.text for generation in await asyncio.gather(*map(client.agenerate, prompts))]

    assert asyncio.run(main()) == [expected(prompt) for prompt in prompts]


def test_one_client_in_one_loop_after_another(client):
    for index in range(3):
        assert asyncio.run(client.agenerate(f"run{index}")).text == expected(f"run{index}")


def test_sync_calls_inside_a_running_loop(client):
    async def main() -> str:
        return client.generate("sync").text

    assert asyncio.run(main()) == expected("sync")


def test_the_server_may_restart_between_two_calls(client, server):
    assert client.generate("before").text == expected("before")
    port = int(server.url.rpartition(":")[2])
    server.stop()
    with FakeTriton(own_text, port=port):
        client.wait_until_ready(30)
        assert client.generate("after").text == expected("after")


def test_waiting_for_a_server_that_comes_up_later(read):
    with (
        FakeTriton(["ok"], ready=False) as server,
        StreamingClient("gpt.streaming", url=server.url) as client,
    ):

        async def main() -> None:
            waiting = asyncio.create_task(client.await_until_ready(30))
            await asyncio.to_thread(waiting.get_loop().call_soon_threadsafe, lambda: None)
            assert not waiting.done()
            server.ready = True
            for name in server.models_ready:
                server.models_ready[name] = True
            await waiting

        asyncio.run(main())
        client.wait_until_ready(30)
        assert read(client, "hi")[1].text == "ok"
