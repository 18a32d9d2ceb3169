"""Leaving a stream cancels it on the server, whichever way it is left."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from facade.conftest import BOTH_KINDS

from nupic_client import FinishReason, ProtocolError, StreamClosedError, StreamConsumedError, TransportError
from nupic_client._core.kserve import wire
from nupic_client.testing import FakeTriton, abort, raw, silence

CLIENT_KINDS = BOTH_KINDS

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
ENDLESS = ["one", " two", silence()]


@pytest.fixture
def server(serve):
    with serve(ENDLESS) as server:
        yield server


async def cancelled_on(server: FakeTriton) -> None:
    await asyncio.to_thread(server.wait_for_cancellation)


def test_break_in_a_for_loop(client, server):
    for text in client.stream("hi"):
        assert text == "one"
        break
    server.wait_for_cancellation()


def test_break_in_a_for_loop_although_the_stream_is_still_held(client, server):
    stream = client.stream("hi")
    for _ in stream:
        break
    server.wait_for_cancellation()
    assert stream.closed
    assert stream.result().text == "one"
    assert stream.result().finish_reason is FinishReason.CANCELLED
    with pytest.raises(StreamClosedError, match="use next"):
        next(stream)
    with pytest.raises(StreamClosedError):
        iter(stream)


def test_break_in_an_async_for_loop(client, server):
    async def main() -> None:
        async for _ in client.astream("hi"):
            break
        await cancelled_on(server)

    asyncio.run(main())


def test_break_in_an_async_for_loop_although_the_stream_is_still_held(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        async for _ in stream:
            break
        await cancelled_on(server)
        assert stream.closed
        assert (await stream.result()).text == "one"
        with pytest.raises(StreamClosedError):
            await anext(stream)

    asyncio.run(main())


def test_an_exception_in_the_loop(client, server):
    with pytest.raises(ZeroDivisionError):
        for _ in client.stream("hi"):
            1 / 0  # noqa: B018
    server.wait_for_cancellation()


def test_an_exception_in_the_callback_reaches_the_caller(client, server):
    with pytest.raises(ZeroDivisionError):
        client.generate("hi", callback=lambda text: 1 / 0)
    server.wait_for_cancellation()


def test_an_exception_in_the_async_callback_reaches_the_caller(client, server):
    async def callback(text: str) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await client.agenerate("hi", callback=callback)
        await cancelled_on(server)

    asyncio.run(main())


def test_the_end_of_the_with_block(client, server):
    with client.stream("hi") as stream:
        assert next(stream) == "one"
    server.wait_for_cancellation()
    assert stream.result().finish_reason == "cancelled"


def test_the_end_of_the_async_with_block(client, server):
    async def main() -> None:
        async with client.astream("hi") as stream:
            assert await anext(stream) == "one"
        await cancelled_on(server)
        assert (await stream.result()).finish_reason == "cancelled"

    asyncio.run(main())


def test_dropping_the_stream(client, server):
    stream = client.stream("hi")
    next(stream)
    del stream
    gc.collect()
    server.wait_for_cancellation()


def test_dropping_the_async_stream(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        await anext(stream)
        del stream
        gc.collect()
        await cancelled_on(server)

    asyncio.run(main())


def test_dropping_a_stream_that_was_never_read(client, server):
    stream = client.stream("hi")
    server.wait_for_requests()
    del stream
    gc.collect()
    server.wait_for_cancellation()


def test_close_from_another_thread_while_the_reader_waits(client, server):
    stream = client.stream("hi")
    assert next(stream) == "one"
    assert next(stream) == " two"
    threading.Timer(0.05, stream.close).start()
    with pytest.raises(StreamClosedError):
        next(stream)
    server.wait_for_cancellation()
    assert stream.result().text == "one two"


def test_cancel_from_another_thread_while_the_task_waits(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        assert await anext(stream) == "one"
        assert await anext(stream) == " two"
        threading.Timer(0.05, stream.cancel).start()
        with pytest.raises(StreamClosedError):
            await anext(stream)
        await cancelled_on(server)
        assert (await stream.result()).text == "one two"

    asyncio.run(main())


def test_cancel_from_another_task_while_the_task_waits(client, server):
    async def main() -> None:
        stream = client.astream("hi")

        async def read() -> list[str]:
            return [text async for text in stream]

        reader = asyncio.create_task(read())
        while stream.text != "one two":
            await asyncio.sleep(0.01)
        stream.cancel()
        with pytest.raises(StreamClosedError):
            await reader
        await cancelled_on(server)

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 3])
def test_generators_that_the_end_of_their_loop_closes(client, server, count):
    """`asyncio.run` has cancelled all tasks by then, and closes the loop right after."""

    async def items():
        async with client.astream("hi") as stream:
            async for item in stream:
                yield item

    async def main() -> None:
        left = [items() for _ in range(count)]
        for each in left:
            await anext(each)

    asyncio.run(main())
    server.wait_for_cancellation(count)


def test_cancelling_the_task_that_reads(client, server):
    async def main() -> None:
        reader = asyncio.create_task(client.agenerate("hi"))
        await asyncio.to_thread(server.wait_for_requests)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert reader.cancelled()
        await cancelled_on(server)

    asyncio.run(main())


def test_cancelling_the_task_while_it_opens_the_stream(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        reader = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        with pytest.raises(StreamClosedError):
            await anext(stream)

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not tell who cancelled")
def test_a_cancelled_task_stays_cancelled_although_the_stream_is_closed_too(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        assert [await anext(stream), await anext(stream)] == ["one", " two"]
        reader = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.01)
        reader.cancel()
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    asyncio.run(main())


@pytest.mark.text_only("numbers are a fine result")
@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_an_answer_that_breaks_the_protocol_is_cancelled_although_the_stream_is_held(client, server, flavour):
    def wrong(request):
        response = wire.pb.ModelStreamInferResponse()
        response.infer_response.outputs.add(name="text_output", datatype="FP32", shape=[1])
        response.infer_response.raw_output_contents.append(bytes(4))
        return [raw(response), silence()]

    server.reply = wrong
    if flavour == "sync":
        stream = client.stream("hi")
        with pytest.raises(ProtocolError):
            next(stream)
        server.wait_for_cancellation()
        return

    async def main() -> None:
        stream = client.astream("hi")
        with pytest.raises(ProtocolError):
            await anext(stream)
        await cancelled_on(server)

    asyncio.run(main())


def test_a_timeout_of_asyncio(client, server):
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.agenerate("hi"), 0.2)
        await cancelled_on(server)

    asyncio.run(main())


@pytest.mark.fake_only("no model can break a call")
def test_a_server_that_cancels_is_an_error_and_not_a_cancelled_task(client, server):
    server.reply = ["one", abort("CANCELLED", "Request was cancelled")]

    async def main() -> None:
        with pytest.raises(TransportError, match="cancelled") as caught:
            await client.agenerate("hi")
        assert caught.value.partial_text == "one"

    asyncio.run(main())


def test_closing_the_client_ends_its_streams_at_once(client, server):
    streams = [client.stream("hi") for _ in range(100)]
    assert all(next(stream) == "one" for stream in streams)
    begin = time.monotonic()
    client.close()
    assert time.monotonic() - begin < 5, "close() must not wait for generations that last for ever"
    server.wait_for_cancellation(100)
    for stream in streams:
        with pytest.raises(StreamClosedError):
            list(stream)


def test_closing_the_client_from_another_thread_ends_async_streams(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        await anext(stream)
        await anext(stream)
        await asyncio.to_thread(client.close)
        with pytest.raises(StreamClosedError):
            await anext(stream)
        assert (await stream.result()).text == "one two"
        await cancelled_on(server)

    asyncio.run(main())


def test_closing_the_client_while_a_task_waits(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        assert [await anext(stream), await anext(stream)] == ["one", " two"]
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.01)
        await client.aclose()
        with pytest.raises(StreamClosedError):
            await waiting
        await cancelled_on(server)

    asyncio.run(main())


def test_a_stream_can_be_closed_twice_and_after_its_end(client, server):
    server.reply = ["all"]
    stream = client.stream("hi")
    assert stream.result().text == "all"
    stream.close()
    stream.close()
    assert stream.result().finish_reason == "stop"
    with pytest.raises(StreamConsumedError):
        list(stream)


def test_next_after_the_end_goes_on_saying_so(client, server):
    server.reply = ["all"]
    stream = client.stream("hi")
    assert list(stream) == ["all"]
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(stream)


def test_an_async_stream_closed_before_it_was_opened_sends_nothing(client, server):
    async def main() -> None:
        stream = client.astream("hi")
        stream.cancel()
        assert stream.closed
        with pytest.raises(StreamClosedError):
            await anext(stream)
        with pytest.raises(StreamClosedError):
            await stream.result()

    asyncio.run(main())
    assert not list(server.requests)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals to one process are POSIX")
@pytest.mark.parametrize(
    "reading",
    [
        "client.generate('hi', callback=show)",
        "[show(text) for text in client.stream('hi')]",
        "stream = client.stream('hi'); show(next(stream)); show(next(stream)); next(stream)",
    ],
)
def test_ctrl_c_in_the_middle_of_a_stream(server, reading):
    script = textwrap.dedent(f"""
        import time
        from nupic_client import StreamingClient

        def show(text):
            print(text, flush=True)

        with StreamingClient("gpt.streaming", url={server.url!r}) as client:
            try:
                {reading}
            except KeyboardInterrupt:
                print("interrupted", time.time(), flush=True)
                input()
    """)
    with subprocess.Popen([sys.executable, "-c", script], **PIPES) as process:
        while process.stdout.readline() != b" two\n":
            assert process.poll() is None
        time.sleep(0.1)  # usually enough for it to wait in gRPC by now; the test holds in either case
        sent = time.time()
        process.send_signal(signal.SIGINT)
        try:
            word, when = process.stdout.readline().split()
            server.wait_for_cancellation()  # while the program goes on
            _, err = process.communicate(b"\n", timeout=30)
        finally:
            process.kill()  # or the end of the block waits for it
    assert (word, err, process.returncode) == (b"interrupted", b"", 0)
    # The bound is the promise itself: gRPC looks for signals every 0.2 s while it waits.
    assert float(when) - sent < 0.5


def test_a_program_may_end_in_the_middle_of_streams(server):
    script = textwrap.dedent(f"""
        import asyncio, threading
        from nupic_client import StreamingClient

        client = StreamingClient("gpt.streaming", url={server.url!r})
        stream = client.stream("hi")
        next(stream)
        threading.Thread(target=lambda: list(client.stream("hi")), daemon=True).start()

        async def main():
            global kept
            kept = client.astream("hi")
            await anext(kept)

        asyncio.run(main())
        print("end")
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"end\n", b"", 0)
