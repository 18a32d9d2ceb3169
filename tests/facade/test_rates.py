"""A rate is one of the server: there is none where it would be one of the reader."""

from __future__ import annotations

import asyncio
import time

import pytest

from nupic_client import StreamingClient
from nupic_client.testing import FakeTriton, sleep


@pytest.fixture(scope="module")
def server():
    with FakeTriton(["a", sleep(0.05)] * 8) as server:
        yield server


@pytest.fixture
def client(server):
    with StreamingClient("gpt.streaming", url=server.url) as client:
        client.generate("Hello")  # the signature and code that is loaded late
        yield client


def test_a_reader_that_waits_for_the_server_has_a_rate(client):
    def read():
        timing = client.generate("Hello").timing
        assert timing.chunks == 8
        return timing.chunks_per_second

    assert rate_of(read) < 21


def rate_of(read):
    """Return a rate; on a busy machine a reader may be late, and has none."""
    return next(rate for rate in (read() for _ in range(20)) if rate is not None)


def test_a_callback_that_works_takes_the_rate(client):
    timing = client.generate("Hello", callback=lambda _text: time.sleep(0.1)).timing
    assert timing.chunks_per_second is None
    assert timing.inter_token_latency.mean >= 0.09


def test_so_does_an_async_one(client):
    async def work(_text):
        await asyncio.sleep(0.1)

    async def read():
        plain = await client.agenerate("Hello")
        slow = await client.agenerate("Hello", callback=work)
        return plain.timing, slow.timing

    assert rate_of(lambda: asyncio.run(read())[0].chunks_per_second) < 21
    assert asyncio.run(read())[1].chunks_per_second is None
