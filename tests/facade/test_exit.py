"""A program may end in the middle of streams, in whatever way: at once, with its own exit code and nothing on stderr."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from nupic_client.testing import FakeTriton, silence

pytestmark = [pytest.mark.slow, pytest.mark.fake_only("how a program ends does not depend on the server")]

PROLOGUE = """
import asyncio, os, sys, threading
from nupic_client import InferenceClient, StreamingClient, Timeouts

client = StreamingClient("gpt.streaming", url=sys.argv[1], timeout=Timeouts(total=600, between_tokens=300))

def read():
    for text in client.stream("endless"):
        reading.set()

reading = threading.Event()
"""


@pytest.fixture
def server():
    with FakeTriton(["one", " two", silence()]) as server:
        yield server


def end(server, program, *, code=0, flags=()):
    """Run a program; it must end by itself, with this code, with nothing on stderr."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", PROLOGUE + textwrap.dedent(program), server.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, ""), done.stderr
    # However the program ended, its generations do not go on.
    server.wait_for_cancellation(len(server.requests))


STRICT = ("-X", "dev", "-W", "error")

ENDS = {
    "with a stream that is held": ("stream = client.stream('endless'); next(stream)", 0),
    "with a stream that was never read": ("stream = client.stream('endless')", 0),
    "with a hundred streams": (
        "streams = [client.stream('endless') for _ in range(100)]; [next(each) for each in streams]",
        0,
    ),
    "while another thread reads": (
        "threading.Thread(target=read, daemon=True).start(); assert reading.wait(30)",
        0,
    ),
    "while a thread reads a second client's": (
        """
        other = StreamingClient("gpt.streaming", url=sys.argv[1], timeout=None)
        threading.Thread(target=lambda: list(other.stream("endless")), daemon=True).start()
        stream = client.stream("endless")
        next(stream)
        """,
        0,
    ),
    "by sys.exit in a with block": (
        """
        with client, client.stream("endless") as stream:
            next(stream)
            sys.exit(3)
        """,
        3,
    ),
    "by sys.exit in a callback": ("client.generate('endless', callback=lambda text: sys.exit(3))", 3),
    "with an async stream that is held after its loop": (
        """
        async def main():
            global stream
            stream = client.astream("endless")
            await anext(stream)
        asyncio.run(main())
        """,
        0,
    ),
    "with a task that reads when main is done": (
        """
        async def main():
            global task
            stream = client.astream("endless")
            await anext(stream)
            task = asyncio.create_task(stream.result())
            await asyncio.sleep(0)
        asyncio.run(main())
        """,
        0,
    ),
    "with a loop that is stopped and never closed": (
        """
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)  # the loop's own, of which Python tells
        loop = asyncio.new_event_loop()
        stream = client.astream("endless")
        loop.run_until_complete(anext(stream))
        loop.call_soon(loop.stop)
        loop.run_forever()
        """,
        0,
    ),
    "by an exception that leaves asyncio.run": (
        """
        async def main():
            async for text in client.astream("endless"):
                raise ZeroDivisionError
        try:
            asyncio.run(main())
        except ZeroDivisionError:
            sys.exit(3)
        """,
        3,
    ),
    "by sys.exit in a task": (
        """
        async def main():
            async for text in client.astream("endless"):
                sys.exit(3)
        asyncio.run(main())
        """,
        3,
    ),
    "with a map that is held": (
        """
        other = InferenceClient("gpt", url=sys.argv[1])
        results = other.map([["a"]] * 4, concurrency=4)
        threading.Thread(target=lambda: next(results), daemon=True).start()
        stream = client.stream("endless")
        next(stream)
        """,
        0,
    ),
}


@pytest.mark.parametrize("way", ENDS)
def test_a_program_ends_in_mid_stream(server, way):
    program, code = ENDS[way]
    end(server, program, code=code, flags=STRICT)


@pytest.mark.skipif(sys.platform == "win32", reason="signals to one process are POSIX")
@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_program_is_stopped_by_a_signal(server, way, name):
    reading = {
        "sync": "client.generate('endless', callback=show)",
        "async": "asyncio.run(client.agenerate('endless', callback=show))",
    }
    program = f"""
def show(text):
    print(text, flush=True)
try:
    {reading[way]}
except KeyboardInterrupt:
    sys.exit(130)
"""
    command = [sys.executable, *STRICT, "-c", PROLOGUE + program, server.url]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            while process.stdout.readline() != " two\n":
                assert process.poll() is None
            process.send_signal(getattr(signal, name))
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()  # or the end of the block waits for it
    assert (process.returncode, err) == (130 if name == "SIGINT" else -signal.SIGTERM, "")
    server.wait_for_cancellation()


@pytest.mark.skipif(not hasattr(os, "kill") or sys.platform == "win32", reason="signals are POSIX")
def test_a_signal_handler_may_close_the_client(server):
    program = """
    import signal
    signal.signal(signal.SIGTERM, lambda *_: client.close())
    stream = client.stream("endless")
    next(stream), next(stream)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        next(stream)
    except Exception as error:
        assert type(error).__name__ == "StreamClosedError", error
    """
    end(server, program)
