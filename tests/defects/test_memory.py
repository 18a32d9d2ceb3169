"""What is dropped is gone: a thousand streams and clients leave no thread, no open file, no object and no word."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest

from nupic_client import InferenceClient, NupicError, ServerClient, StreamingClient, Timeouts
from nupic_client.testing import FakeTriton, fail, silence

pytestmark = pytest.mark.slow

MANY = 1000
ABANDONED_AT = {"begun": 1, "not begun": 0}


def answer(request):
    """Fail, fall silent or answer, as the prompt says."""
    return {"fail": ["one", fail("broken")], "endless": ["one", silence()]}.get(
        request.prompt, ["one", " two"]
    )


@pytest.fixture
def server():
    with FakeTriton(answer) as server:
        yield server


@pytest.fixture
def client(server):
    with StreamingClient(
        "gpt.streaming", server.url, timeout=Timeouts(total=300, between_tokens=200)
    ) as client:
        yield client


@pytest.fixture(autouse=True)
def _silent(capfd, monkeypatch):
    """Nothing is printed, no warning is given and no destructor fails."""
    failed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: failed.append(str(what)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert not failed
    assert [str(item.message) for item in caught] == []
    assert capfd.readouterr() == ("", "")


PARTS = (
    *("nupic_client._sync", "nupic_client._async", "nupic_client._grpc", "nupic_client._core"),
    *("nupic_client.streaming", "nupic_client.inference", "grpc._channel", "grpc.aio"),
)


def ours() -> Counter[str]:
    """Count the living objects of the client's own classes, of which a leak would be made."""
    gc.collect()
    names = (f"{type(item).__module__}.{type(item).__name__}" for item in gc.get_objects())
    return Counter(name for name in names if name.startswith(PARTS))


def open_files() -> int:
    """Return how many there are; none where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


class Growth:
    """What has come to be since it was made; things that take a moment to go are waited for."""

    def __init__(self) -> None:
        self.objects, self.files, self.threads = ours(), open_files(), threading.active_count()

    def check(self, *, slack: int = 20) -> None:
        """Fail if more has grown than a thousand times something could."""
        end = time.monotonic() + 20
        while True:
            grown = {name: count for name, count in (ours() - self.objects).items() if count > slack}
            files, threads = open_files() - self.files, threading.active_count() - self.threads
            if not grown and files <= slack and threads <= slack:
                return
            assert time.monotonic() < end, f"grown: {grown}, {files} files, {threads} threads"
            time.sleep(0.1)


@pytest.mark.parametrize("prompt", ["endless", "fail", "good"])
def test_abandoned_streams(client, server, prompt):
    client.generate("good")
    growth = Growth()
    for number in range(MANY):
        stream = client.stream(prompt)
        if number % 2:
            with contextlib.suppress(NupicError):
                next(stream)
        del stream
    growth.check(slack=100)  # the server's own threads and calls are counted too


@pytest.mark.parametrize("prompt", ["endless", "fail", "good"])
def test_abandoned_async_streams(client, server, prompt):
    async def main() -> None:
        await client.agenerate("good")
        growth = Growth()
        for number in range(MANY):
            stream = client.astream(prompt)
            if number % 2:
                with contextlib.suppress(NupicError):
                    await anext(stream)
            if number % 4 == 1:
                async for _ in client.astream("good"):
                    break
            del stream
        await asyncio.to_thread(growth.check, slack=100)

    asyncio.run(main())


def test_streams_in_reference_cycles(client, server):
    client.generate("good")
    growth = Growth()
    for _ in range(MANY):
        stream = client.stream("endless")
        stream.itself = stream
        del stream
        if not _ % 100:
            gc.collect()
    growth.check(slack=100)


@pytest.mark.parametrize("make", [StreamingClient, InferenceClient], ids=["streaming", "inference"])
def test_abandoned_clients_that_were_never_used(make):
    growth = Growth()
    for _ in range(MANY):
        make("gpt.streaming", "localhost:1", bearer_token="token")
    growth.check(slack=10)


def test_abandoned_clients_that_were_used(server):
    growth = Growth()
    for number in range(MANY // 4):
        client = StreamingClient("gpt.streaming", server.url)
        assert client.generate("good").text == "one two"
        if number % 10 == 0:
            assert ServerClient(server.url).is_live()
            stream = client.stream("endless")
            next(stream)
            del stream
        del client
    growth.check(slack=50)


def test_a_client_in_a_loop_for_each_call(client):
    asyncio.run(client.agenerate("good"))
    growth = Growth()
    for _ in range(MANY // 4):
        assert asyncio.run(client.agenerate("good")).text == "one two"
    growth.check(slack=10)
