"""Collect garbage where gRPC holds its locks. A program, because what goes wrong here leaves those locked for ever.

Usage: ``python collector.py WHAT_IS_DROPPED``; prints ``cancelled`` if all went well.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
import sys
import threading
import time
from logging.handlers import QueueHandler

import grpc._observability

from nupic_client import InferenceClient, StreamingClient
from nupic_client.testing import FakeTriton, silence

PATIENCE = 20.0


class Knot:
    """Becomes garbage that only the collector finds, with all it has."""

    def __init__(self, *things):
        self.things = things
        self.itself = self


def stream(client):
    stream = client.stream("endless")
    next(stream)
    stream.itself = stream


def iterator(client):
    chunks = iter(client.stream("endless"))
    next(chunks)
    Knot(chunks)


def block(client):
    def words():
        with client.stream("endless") as stream:
            yield from stream

    chunks = words()
    next(chunks)
    Knot(chunks)


def results(client):
    inputs = [{"text_input": [prompt]} for prompt in ("late", "endless", "endless")]
    results = iter(client.map(inputs, concurrency=3))
    next(results)
    Knot(results)


async def in_a_loop(client):
    async def drop():
        stream = client.astream("endless")
        await anext(stream)
        stream.itself = stream

    await drop()
    await asyncio.to_thread(collect_while_something_is_logged)


def is_in(thread, name):
    frame = sys._current_frames().get(thread.ident)
    while frame is not None:
        if frame.f_code.co_name == name:
            return True
        frame = frame.f_back
    return False


def collect_while_a_call_starts(send):
    """Collect in a thread that has one lock of gRPC while another thread has the channel's and wants that one."""
    sending = threading.Thread(target=send, daemon=True)
    held, collected = threading.Event(), threading.Event()

    def collect():
        with grpc._observability.get_plugin():
            held.set()
            while not is_in(sending, "get_plugin"):
                time.sleep(0.001)
            gc.collect()
        collected.set()

    threading.Thread(target=collect, daemon=True).start()
    assert held.wait(PATIENCE)
    sending.start()
    assert collected.wait(PATIENCE), "the destructor waits for a lock"
    sending.join(PATIENCE)
    assert not sending.is_alive()


def collect_while_something_is_logged():
    """Collect while a handler has a lock that it cannot take twice, as that of a queue."""
    lines = queue.Queue()
    logging.basicConfig(level=logging.INFO, handlers=[QueueHandler(lines)])
    collected = threading.Event()

    def collect():
        with lines.mutex:
            gc.collect()
        collected.set()

    threading.Thread(target=collect, daemon=True).start()
    assert collected.wait(PATIENCE), "the destructor waits for a lock"
    assert "cancelled" in lines.get(timeout=PATIENCE).getMessage()


ENDLESS = threading.Semaphore(0)
"""How many endless requests have come."""


def answer(request):
    if request.prompt == "endless":
        ENDLESS.release()
        return ["one", silence()]
    if request.prompt == "late":  # or its result would be read before the others are sent
        for _ in range(2):
            assert ENDLESS.acquire(timeout=PATIENCE)
    return ["one", " two"]


def main(what):
    gc.disable()
    with FakeTriton(answer) as server:
        if what == "results":
            client = InferenceClient("gpt", server.url)
            results(client)
            server.wait_for_requests(3, timeout=PATIENCE)
            collect_while_a_call_starts(lambda: list(client.map([{"text_input": ["good"]}])))
            server.wait_for_cancellation(2, timeout=PATIENCE)
        elif what == "async":
            client = StreamingClient("gpt.streaming", server.url)
            asyncio.run(in_a_loop(client))
            server.wait_for_cancellation(timeout=PATIENCE)
        else:
            client = StreamingClient("gpt.streaming", server.url)
            client.generate("good")
            drop = {"stream": stream, "iterator": iterator, "block": block}[what]
            drop(client)
            collect_while_a_call_starts(lambda: client.generate("good"))
            drop(client)
            collect_while_something_is_logged()
            server.wait_for_cancellation(2, timeout=PATIENCE)
        client.close()
    print("cancelled")


if __name__ == "__main__":
    main(sys.argv[1])
