"""Whatever becomes of a request, its place on a server is free again; and clients survive what programs do to them."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pool.conftest import counts_return_to_zero, running, states, until

from nupic_client import InferenceClient, ServerClient, StreamingClient
from nupic_client.testing import EndpointGroup, silence

INPUTS = {"text_input": ["hi"], "max_tokens": [3]}
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")


@pytest.fixture
def group():
    with EndpointGroup(2, ["x", silence()]) as group:
        yield group


def drop(client):
    stream = client.stream("hi")
    next(stream)
    stream.itself = stream  # only the collector finds it


def leave_by_break(client):
    for _ in client.stream("hi"):
        break


def leave_by_an_error(client):
    with pytest.raises(ZeroDivisionError):
        client.generate("hi", callback=lambda text: 1 / 0)


def leave_unread(client):
    client.stream("hi").close()


def leave_a_generator(client):
    def words():
        with client.stream("hi") as stream:
            yield from stream

    next(words())


def close_from_another_thread(client):
    stream = client.stream("hi")
    next(stream)
    thread = threading.Thread(target=stream.close)
    thread.start()
    thread.join()


def too_late(client):
    with pytest.raises(TimeoutError):
        client.generate("hi", timeout=0.2)


def of_tasks(body):
    def run(client):
        asyncio.run(body(client))

    return run


async def cancel_a_task(client):
    got = asyncio.Event()
    task = asyncio.ensure_future(client.agenerate("hi", callback=lambda text: got.set()))
    await got.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def drop_a_stream(client):
    stream = client.astream("hi")
    await anext(stream)
    stream.itself = stream


async def leave_an_async_for(client):
    async for _ in client.astream("hi"):
        break


async def cancel_at_once(client):
    task = asyncio.ensure_future(client.agenerate("hi"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def leave_a_task_behind(client):
    got = asyncio.Event()
    leave_a_task_behind.task = asyncio.ensure_future(client.agenerate("hi", callback=lambda text: got.set()))
    await got.wait()


def die_with_the_loop(client):
    """A loop that is closed with tasks in it, as some frameworks do."""
    loop = asyncio.new_event_loop()
    got = asyncio.Event()

    async def work():
        await client.agenerate("hi", callback=lambda text: got.set())

    task = loop.create_task(work())
    loop.run_until_complete(got.wait())
    task._log_destroy_pending = False
    loop.close()


WAYS = [
    drop,
    leave_by_break,
    leave_by_an_error,
    leave_unread,
    leave_a_generator,
    close_from_another_thread,
    too_late,
    of_tasks(cancel_a_task),
    of_tasks(drop_a_stream),
    of_tasks(leave_an_async_for),
    of_tasks(cancel_at_once),
    of_tasks(leave_a_task_behind),
]


@pytest.mark.parametrize("number", range(len(WAYS)))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_the_place_of_a_stream_that_is_left_is_free_again(group, number):
    with StreamingClient("gpt.streaming", group.urls) as client, counts_return_to_zero(client):
        for _ in range(3):
            WAYS[number](client)


def leave_a_map(client):
    with client.map([INPUTS] * 8, concurrency=4) as results, ThreadPoolExecutor(1) as threads:
        future = threads.submit(next, results)
        until(lambda: sum(running(client)) == 4)
        results.close()
        assert future.exception(60) is not None


def drop_a_map(client):
    def read():
        for _ in client.map([INPUTS] * 8, concurrency=4):
            break

    for server in client.servers:
        server.reply = ["x"]
    read()
    for server in client.servers:
        server.reply = ["x", silence()]


async def cancel_an_amap(client):
    async def read():
        async with client.amap([INPUTS] * 8, concurrency=4) as results:
            async for _ in results:
                pass

    task = asyncio.ensure_future(read())
    while sum(running(client)) < 4:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_an_infer(client):
    task = asyncio.ensure_future(client.ainfer(INPUTS))
    while not sum(running(client)):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def infer_too_late(client):
    with pytest.raises(TimeoutError):
        client.infer(INPUTS, timeout=0.2)


def infer_dies_with_its_loop(client):
    loop = asyncio.new_event_loop()
    task = loop.create_task(client.ainfer(INPUTS))

    async def started():
        while not sum(running(client)):
            await asyncio.sleep(0.001)

    loop.run_until_complete(started())
    task._log_destroy_pending = False
    loop.close()


INFER_WAYS = [
    leave_a_map,
    drop_a_map,
    of_tasks(cancel_an_amap),
    of_tasks(cancel_an_infer),
    infer_too_late,
]


@pytest.mark.parametrize("number", range(len(INFER_WAYS)))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_the_place_of_a_request_that_is_left_is_free_again(group, number):
    with InferenceClient("gpt", group.urls) as client:
        client.servers = group
        for server in group:
            server.reply = ["x"]
        client.infer(INPUTS)
        for server in group:
            server.reply = ["x", silence()]
        with counts_return_to_zero(client):
            for _ in range(3):
                INFER_WAYS[number](client)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("flavour", ["blocking", "async"])
@pytest.mark.parametrize("die", [die_with_the_loop, infer_dies_with_its_loop])
def test_what_dies_with_its_loop_holds_up_nobody_for_ever(group, die, flavour):
    kind, model = (StreamingClient, "gpt.streaming") if die is die_with_the_loop else (InferenceClient, "gpt")
    with kind(model, group.urls[0], max_outstanding=1) as client:
        for server in group:
            server.reply = ["x"]
        client.generate("hi")
        for server in group:
            server.reply = ["x", silence()]
        die(client)
        assert running(client) == [1]
        for server in group:
            server.reply = ["x"]
        if flavour == "blocking":
            client.generate("hi", timeout=60)
        else:
            asyncio.run(client.agenerate("hi", timeout=60))
        with counts_return_to_zero(client):
            pass


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals are sent as POSIX does")
def test_ctrl_c_ends_the_wait_for_a_server(group):
    with StreamingClient("gpt.streaming", group.urls, max_outstanding=1) as client:
        held = [client.stream("hi") for _ in group]

        def interrupt():
            until(lambda: len(client._pool._queue))
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            client.generate("hi")
        thread.join()
        assert len(client._pool._queue) == 0
        for stream in held:
            stream.close()
        with counts_return_to_zero(client):
            pass


INTERRUPTED = """
    import asyncio, signal, sys, time
    from nupic_client import InferenceClient, StreamingClient

    kind, what = sys.argv[1], sys.argv[2:]
    inputs = {"text_input": ["hi"], "max_tokens": [3]}
    work = {
        "stream": lambda client: client.generate("hi"),
        "infer": lambda client: client.infer(inputs),
        "map": lambda client: list(client.map([inputs] * 4, concurrency=2)),
    }[kind]
    make, model = (StreamingClient, "gpt.streaming") if kind == "stream" else (InferenceClient, "gpt")
    with make(model, what, max_outstanding=2) as client:
        work(client)
        start = time.monotonic()
        work(client)
        once = time.monotonic() - start
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        interrupted = 0
        for number in range(300):
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-5 + once * (number % 60) / 50)
                    work(client)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        assert interrupted
        end = time.monotonic() + 60
        while any(endpoint.running for endpoint in client.endpoints()):
            assert time.monotonic() < end, client.endpoints()
            time.sleep(0.01)
        work(client)
    print("free")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers are POSIX")
@pytest.mark.parametrize("kind", ["stream", "infer", "map"])
def test_ctrl_c_at_any_moment_leaves_no_place_taken(group, kind):
    for server in group:
        server.reply = ["x", "y"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), kind, *group.urls],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    # gRPC has destructors too, and Python says of those that Ctrl-C had no effect in them.
    assert (done.stdout, done.returncode) == ("free\n", 0), done.stderr


def test_destructors_do_not_wait_for_the_lock_of_the_pool(group):
    """Another thread has it, and they run anywhere."""
    gc.disable()
    try:
        with StreamingClient("gpt.streaming", group.urls) as client:
            drop(client)
            asyncio.run(drop_a_stream(client))
            lock, held, over = client._pool._lock, threading.Event(), threading.Event()

            def hold():
                with lock:
                    held.set()
                    over.wait(60)

            holding = threading.Thread(target=hold)
            holding.start()
            held.wait(60)
            collecting = threading.Thread(target=gc.collect)
            collecting.start()
            collecting.join(30)
            waits = collecting.is_alive()
            over.set()
            holding.join()
            collecting.join()
            assert not waits
            with counts_return_to_zero(client):
                pass
    finally:
        gc.enable()


def test_threads_and_loops_share_one_client(group):
    for server in group:
        server.reply = ["Hel", "lo"]
    with StreamingClient("gpt.streaming", group.urls) as client:

        async def many():
            return [each.text for each in await asyncio.gather(*(client.agenerate("hi") for _ in range(20)))]

        with counts_return_to_zero(client), ThreadPoolExecutor(8) as threads:
            blocking = [threads.submit(client.generate, "hi") for _ in range(40)]
            loops = [threads.submit(lambda: asyncio.run(many())) for _ in range(4)]
            assert {future.result(60).text for future in blocking} == {"Hello"}
            assert all({*future.result(60)} == {"Hello"} for future in loops)
        assert sum(group.shares) == 120
        assert min(group.shares) >= 20


@pytest.mark.parametrize("kind", [StreamingClient, InferenceClient])
@pytest.mark.parametrize("how", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
def test_a_copy_has_a_pool_of_its_own(group, kind, how):
    for server in group:
        server.reply = ["x"]
    with kind("gpt.streaming", group.urls, balancing="round-robin", max_outstanding=3) as client:
        client.generate("hi")
        with how(client) as other:
            assert other._pool is not client._pool
            assert [other.generate("hi").text for _ in range(4)] == ["x"] * 4
            assert other._pool._config.max_outstanding == 3
            assert min(group.shares) >= 2


def test_a_server_client_can_be_copied(group):
    with pickle.loads(pickle.dumps(ServerClient(group.urls))) as client:
        assert client.is_ready()
        assert sorted(client.each()) == sorted(group.urls)


FORK = """
    import os, sys
    from nupic_client import StreamingClient

    client = StreamingClient("gpt.streaming", sys.argv[1:], max_outstanding=2)
    streams = [client.stream("hold") for _ in range(4)]
    for stream in streams:
        next(stream)
    assert [it.running for it in client.endpoints()] == [2, 2]

    child = os.fork()
    if not child:
        assert [it.running for it in client.endpoints()] == []
        for _ in range(4):
            assert client.generate("hi").text == "xy"
        assert [it.running for it in client.endpoints()] == [0, 0]
        del streams, stream
        print("child", flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    assert [it.running for it in client.endpoints()] == [2, 2]
    for stream in streams:
        stream.close()
    assert [it.running for it in client.endpoints()] == [0, 0]
    assert client.generate("hi").text == "xy"
    print("parent")
"""


@posix
def test_a_forked_child_has_a_pool_of_its_own(group, tmp_path):
    def answer(request):
        return ["x", silence()] if request.prompt == "hold" else ["x", "y"]

    for server in group:
        server.reply = answer
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(FORK), *group.urls],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("GRPC_")},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("child\nparent\n", "", 0)


def test_a_client_that_is_dropped_without_closing_leaves_nothing(group):
    for server in group:
        server.reply = ["x"]
    before = threading.active_count()
    for _ in range(5):
        client = StreamingClient("gpt.streaming", group.urls)
        client.generate("hi")
        group.kill(0)
        client.generate("hi")
        group.start_again(0)
        client.generate("hi")
        del client
    gc.collect()
    until(lambda: threading.active_count() <= before + 4)


def test_probes_of_a_loop_that_ends_are_made_by_the_next(group):
    """Each call has a loop of its own, which does not live as long as a probe may take."""
    for server in group:
        server.reply = ["x"]
    with StreamingClient("gpt.streaming", group.urls) as client:
        for _ in range(4):
            asyncio.run(client.agenerate("hi"))
        group.kill(0)

        def state():
            asyncio.run(client.agenerate("hi"))
            return states(client)[group.urls[0]]

        until(lambda: state() == "quarantined")
        group.start_again(0)
        until(lambda: state() == "up", 30.0)
