"""Many threads that use one client in every way at once."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nupic_client import ConfigurationError, RequestError, StreamClosedError, StreamingClient
from nupic_client.testing import FakeTriton

pytestmark = pytest.mark.fake_only("what is stressed is the client")

PIECES = [f"{index};" for index in range(20)]


@pytest.fixture
def server():
    with FakeTriton(PIECES) as server:
        yield server


def use(client: StreamingClient, seed: int) -> None:
    """Use the client in a few ways; what comes must be the text or the beginning of it."""
    chance = random.Random(seed)
    whole = "".join(PIECES)
    for _ in range(6):
        way = chance.randrange(5)
        if way == 0:
            assert client.generate("x").text == whole
        elif way == 1:
            assert "".join(client.with_options(temperature=0.5).stream("x")) == whole
        elif way == 2:
            with client.stream("x") as stream:
                begun = [next(stream) for _ in range(chance.randrange(4))]
            assert begun == PIECES[: len(begun)]
        elif way == 3:
            stream = client.stream("x")
            closer = threading.Thread(target=stream.close)
            closer.start()
            came = []
            try:
                came.extend(stream)
            except StreamClosedError:
                came = list(came)
            closer.join()
            assert whole.startswith(stream.result().text)
            assert stream.result().text.startswith("".join(came))
        else:
            stream = client.stream("x")
            next(stream)
            del stream


@pytest.mark.slow
def test_fifty_threads_use_one_client_in_every_way(client):
    with ThreadPoolExecutor(50) as pool:
        for future in [pool.submit(use, client, seed) for seed in range(50)]:
            future.result(90)
    assert client.generate("x").text == "".join(PIECES)


def test_closing_the_client_under_fifty_threads_gives_documented_errors_only(server):
    client = StreamingClient("gpt.streaming", url=server.url)
    client.generate("x")
    started = threading.Barrier(51)

    def work() -> str:
        started.wait(30)
        try:
            while True:
                assert client.generate("x").text == "".join(PIECES)
        except (StreamClosedError, ConfigurationError, RequestError) as error:
            return type(error).__name__

    with ThreadPoolExecutor(50) as pool:
        futures = [pool.submit(work) for _ in range(50)]
        started.wait(30)
        client.close()
        names = {future.result(60) for future in futures}
    assert names <= {"StreamClosedError", "ConfigurationError", "TransportError"}
