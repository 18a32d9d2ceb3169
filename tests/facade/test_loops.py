"""One client in many event loops: at once, one after another, of other makers, in a notebook."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
import trio
from facade.conftest import BOTH_KINDS

from nupic_client import ConfigurationError, InferenceClient
from nupic_client.testing import FakeTriton, silence

CLIENT_KINDS = BOTH_KINDS

pytestmark = pytest.mark.fake_only("what a loop does does not depend on the server")


def answer(request):
    return ["one", " two", silence()] if request.prompt == "endless" else [f"{request.prompt}:", "done"]


@pytest.fixture
def server():
    with FakeTriton(answer) as server:
        yield server


async def read(client, prompt):
    async with client.astream(prompt) as stream:
        return "".join([text async for text in stream])


def test_loops_of_several_threads_at_once(client):
    def work(thread: int) -> list[str]:
        async def main() -> list[str]:
            return await asyncio.gather(*(read(client, f"{thread}.{task}") for task in range(10)))

        return asyncio.run(main())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    assert found == [[f"{thread}.{task}:done" for task in range(10)] for thread in range(8)]


def test_loops_and_blocking_threads_at_once(client):
    def block(number: int) -> str:
        return client.generate(f"sync{number}").text

    def await_(number: int) -> str:
        return asyncio.run(read(client, f"async{number}"))

    with ThreadPoolExecutor(16) as pool:
        blocking = [pool.submit(block, number) for number in range(20)]
        awaiting = [pool.submit(await_, number) for number in range(20)]
        assert [each.result() for each in blocking] == [f"sync{number}:done" for number in range(20)]
        assert [each.result() for each in awaiting] == [f"async{number}:done" for number in range(20)]


def test_one_loop_after_another_leaves_no_channel(client):
    for number in range(20):
        assert asyncio.run(read(client, str(number))) == f"{number}:done"
    assert len(client._async_transport._channels) == 1, "each loop leaves a channel, and that an open file"


def test_a_loop_that_is_stopped_in_mid_stream_and_goes_on_later(client):
    loop = asyncio.new_event_loop()
    try:
        stream = client.astream("endless")
        assert loop.run_until_complete(anext(stream)) == "one"
        with ThreadPoolExecutor(1) as pool:  # meanwhile another loop uses the client
            assert pool.submit(asyncio.run, read(client, "other")).result(30) == "other:done"
        assert loop.run_until_complete(anext(stream)) == " two"
        stream.cancel()
        loop.run_until_complete(client.aclose())
    finally:
        loop.close()


def test_the_client_is_closed_by_another_thread_while_loops_run(client, server):
    reading = threading.Barrier(5)

    def work() -> str:
        async def main() -> str:
            stream = client.astream("endless")
            await anext(stream)
            await asyncio.to_thread(reading.wait, 30)
            try:
                return "".join([text async for text in stream])
            except Exception as error:
                return type(error).__name__

        return asyncio.run(main())

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work) for _ in range(4)]
        reading.wait(30)
        client.close()
        assert {each.result(30) for each in working} == {"StreamClosedError"}
    server.wait_for_cancellation(4)


def test_a_blocking_close_in_a_running_loop_ends_the_streams_of_that_loop(client, server):
    async def main() -> None:
        reader = asyncio.create_task(read(client, "endless"))
        await asyncio.to_thread(server.wait_for_requests)
        client.close()
        with pytest.raises(Exception, match="closed"):
            await reader
        await asyncio.to_thread(server.wait_for_cancellation)

    asyncio.run(main())


def test_blocking_calls_and_streams_in_a_running_loop(client):
    async def main() -> tuple[str, list[str], str]:
        return client.generate("sync").text, list(client.stream("it")), await read(client, "async")

    assert asyncio.run(main()) == ("sync:done", ["it:", "done"], "async:done")


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run on Windows")
def test_uvloop(client, server):
    uvloop = pytest.importorskip("uvloop")
    for number in range(2):
        loop = uvloop.new_event_loop()
        try:
            assert loop.run_until_complete(read(client, str(number))) == f"{number}:done"
            reader = loop.create_task(read(client, "endless"))
            loop.run_until_complete(asyncio.wait([reader], timeout=0.2))
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                loop.run_until_complete(reader)
            loop.run_until_complete(asyncio.to_thread(server.wait_for_cancellation, number + 1))
        finally:
            loop.close()


# anyio and trio


def test_anyio_task_group(client, server):
    async def main() -> list[str]:
        found = []

        async def work(prompt: str) -> None:
            found.append(await read(client, prompt))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(work, str(number))
        with pytest.raises(BaseException) as caught:
            async with anyio.create_task_group() as group:
                group.start_soon(work, "endless")
                await asyncio.to_thread(server.wait_for_requests, 6)
                raise ZeroDivisionError
        assert "ZeroDivisionError" in repr(caught.value)
        await asyncio.to_thread(server.wait_for_cancellation)
        return sorted(found)

    assert anyio.run(main, backend="asyncio") == [f"{number}:done" for number in range(5)]


@pytest.mark.parametrize("way", ["move_on_after", "fail_after"])
def test_anyio_timeouts(client, server, way):
    async def main() -> None:
        texts = []
        with contextlib.suppress(TimeoutError):
            with getattr(anyio, way)(0.3) as scope:
                async for text in client.astream("endless"):
                    texts += [text]
        assert scope.cancelled_caught
        assert texts == ["one", " two"]
        await asyncio.to_thread(server.wait_for_cancellation)
        assert await read(client, "after") == "after:done"

    anyio.run(main, backend="asyncio")


@pytest.mark.parametrize("call", ["agenerate", "astream", "amap"])
def test_trio_is_refused_in_words(server, client, call):
    async def main() -> None:
        if call == "agenerate":
            await client.agenerate("hi")
        elif call == "astream":
            async with client.astream("hi"):
                pass
        else:
            async for _ in InferenceClient("gpt", server.url).amap([["a"]]):
                pass

    with pytest.raises(ConfigurationError, match=r"asyncio.*trio"):
        trio.run(main)
    trio.run(client.aclose)  # as the end of an `async with` block does


# Notebooks


PROLOGUE = """
import _thread, signal, sys, threading, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="nocolor")

def cell(text):
    outcome = shell.run_cell(text, store_history=True)
    return outcome.error_before_exec or outcome.error_in_exec

assert cell("from nupic_client import StreamingClient; client = StreamingClient('gpt.streaming', url=%r)") is None
"""


def notebook(server, program):
    text = PROLOGUE % server.url + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_cells_of_a_notebook(server):
    """Top-level ``async for`` and blocking iterators, in the loop that runs all cells."""
    out = notebook(
        server,
        """
        assert cell("async for text in client.astream('a'): print(text)") is None
        assert cell("for text in client.stream('b'): print(text)") is None
        assert cell("print((await client.agenerate('c')).text)") is None
        assert cell("client.generate('d', callback=print)") is None
        """,
    )
    words = out.split()
    assert [words.index(word) for word in ("a:", "b:", "c:done", "d:")] == sorted(
        words.index(word) for word in ("a:", "b:", "c:done", "d:")
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals to one process are POSIX")
@pytest.mark.parametrize(
    "reading",
    [
        "async for text in client.astream('endless'): print(text)",
        "for text in client.stream('endless'): print(text)",
        "held = client.stream('endless'); print([next(held), next(held)]); next(held)",
    ],
)
def test_a_cell_is_interrupted_and_the_next_one_works(server, reading):
    notebook(
        server,
        f"""
        import os
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        error = cell({reading!r})
        assert isinstance(error, KeyboardInterrupt), repr(error)
        assert cell("assert client.generate('x').text == 'x:done'") is None
        assert cell("assert (await client.agenerate('x')).text == 'x:done'") is None
        """,
    )
    server.wait_for_cancellation()
