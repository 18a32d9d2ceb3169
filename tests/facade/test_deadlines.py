"""Nothing waits for ever, in every flavour; and what is worth it is tried again."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
from facade.conftest import BOTH_KINDS

from nupic_client import (
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
    RetryPolicy,
    StreamClosedError,
    StreamingClient,
    Timeouts,
)
from nupic_client._grpc import housekeeping
from nupic_client.testing import FakeTriton, abort, silence, sleep

CLIENT_KINDS = BOTH_KINDS

pytestmark = pytest.mark.fake_only("its deadlines are shorter than the real server sometimes takes")


def housekeepers() -> int:
    return sum(thread.name == "nupic_client.housekeeping" for thread in threading.enumerate())


@pytest.fixture
def _hasty(monkeypatch):
    monkeypatch.setattr(housekeeping._housekeeper, "_linger", 0.05)


def wait_until(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01, max_backoff=0.02)


def test_a_server_that_never_begins(read, client, server):
    server.reply = [silence()]
    with pytest.raises(DeadlineExceededError, match=r"no response came within 0\.2 s") as caught:
        read(client, "hi", timeout=Timeouts(first_token=0.2))
    error = caught.value
    assert (error.deadline, error.limit, error.chunks, error.partial_text) == ("first_token", 0.2, 0, "")
    assert error.elapsed >= 0.2
    server.wait_for_cancellation()


def test_a_server_that_falls_silent(read, client, server):
    server.reply = ["one", " two", silence()]
    with pytest.raises(DeadlineExceededError, match="fell silent") as caught:
        read(client, "hi", timeout=Timeouts(between_tokens=0.2))
    error = caught.value
    assert (error.deadline, error.limit, error.chunks, error.partial_text) == (
        "between_tokens",
        0.2,
        2,
        "one two",
    )
    server.wait_for_cancellation()


@pytest.mark.slow
def test_a_slow_answer_is_no_silence(read, client, server):
    server.reply = [step for index in range(6) for step in (f"{index} ", sleep(0.4))]
    _, generation = read(client, "hi", timeout=Timeouts(first_token=20, between_tokens=1.5))
    assert generation.text == "0 1 2 3 4 5 "


def test_time_that_the_reader_takes_does_not_count(client, server):
    server.reply = ["one", " two", " three"]
    stream = client.stream("hi", timeout=Timeouts(first_token=0.1, between_tokens=0.1))
    server.wait_for_requests()
    time.sleep(0.3)  # the subject: longer than both deadlines
    assert next(stream) == "one"
    time.sleep(0.3)
    assert list(stream) == [" two", " three"]


def test_time_that_the_reading_task_takes_does_not_count(client, server):
    server.reply = ["one", " two", " three"]

    async def main() -> list[str]:
        chunks = []
        async for text in client.astream("hi", timeout=Timeouts(first_token=0.1, between_tokens=0.1)):
            chunks.append(text)
            await asyncio.sleep(0.3)
        return chunks

    assert asyncio.run(main()) == ["one", " two", " three"]


@pytest.mark.usefixtures("_hasty")
def test_all_streams_of_all_clients_share_one_thread(client, server):
    server.reply = ["one", silence()]
    with StreamingClient("gpt.streaming", url=server.url) as other:
        streams = [each.stream("hi", timeout=Timeouts(between_tokens=0.5)) for each in (client, other) * 10]

        def read(stream):
            with pytest.raises(DeadlineExceededError):
                list(stream)

        readers = [threading.Thread(target=read, args=(stream,)) for stream in streams]
        for reader in readers:
            reader.start()
        assert housekeepers() == 1
        for reader in readers:
            reader.join(30)
        assert not any(reader.is_alive() for reader in readers)


@pytest.mark.usefixtures("_hasty")
def test_the_thread_keeps_no_stream_alive_and_goes_with_the_last(client, server):
    server.reply = ["one", silence()]
    # The deadline has not passed when the stream is dropped: the cancellation comes from the drop alone.
    next(client.stream("hi", timeout=Timeouts(between_tokens=30, first_token=0.5)))
    gc.collect()
    server.wait_for_cancellation()
    wait_until(lambda: housekeepers() == 0)


def test_the_loop_keeps_no_async_stream_alive(client, server):
    server.reply = ["one", silence()]

    async def main() -> None:
        await anext(client.astream("hi", timeout=Timeouts(between_tokens=30)))
        gc.collect()
        await asyncio.to_thread(server.wait_for_cancellation)

    asyncio.run(main())


# Retries


def failing(times, *steps):
    """Answer the first requests with an error and the others with a text."""
    count = iter(range(10**6))
    return lambda request: list(steps) if next(count) < times else ["fine"]


def test_a_server_without_capacity_is_asked_again(read, client, server):
    server.reply = failing(2, abort("RESOURCE_EXHAUSTED", "full"))
    _, generation = read(client, "hi", max_retries=QUICK)
    assert (generation.text, len(generation.attempts)) == ("fine", 3)
    assert len(server.requests) == 3
    assert len({request.request_id for request in server.requests}) == 1


def test_a_broken_connection_is_tried_again_and_the_error_counts(read, client, server):
    server.reply = [abort("UNAVAILABLE", "Socket closed")]
    with pytest.raises(ConnectionFailedError) as caught:
        read(client, "hi", max_retries=QUICK)
    assert (len(caught.value.attempts), caught.value.retryable) == (3, True)
    assert "attempts 3" in str(caught.value)


def test_retries_are_switched_off(read, client, server):
    server.reply = [abort("UNAVAILABLE", "Socket closed")]
    with pytest.raises(ConnectionFailedError) as caught:
        read(client, "hi", max_retries=0)
    assert len(caught.value.attempts) == 1
    assert len(server.requests) == 1


def test_nothing_is_sent_again_once_text_had_come(read, client, server):
    server.reply = ["one", abort("UNAVAILABLE", "Socket closed")]
    with pytest.raises(ConnectionFailedError) as caught:
        read(client, "hi", max_retries=QUICK)
    assert (len(caught.value.attempts), caught.value.partial_text, caught.value.retryable) == (
        1,
        "one",
        False,
    )


def test_a_server_that_shuts_down_is_asked_again(read, server):
    with StreamingClient("gpt.streaming", url=server.url, max_retries=QUICK) as client:
        assert read(client, "hi")[1].text == "Hello world"
        server.exiting = True
        with pytest.raises(ModelUnavailableError) as caught:
            read(client, "hi")
    assert (len(caught.value.attempts), caught.value.retryable) == (3, True)


def test_a_retry_never_outlives_the_total_timeout(read, client, server):
    server.reply = [abort("UNAVAILABLE", "Socket closed")]
    patient = RetryPolicy(max_retries=5, initial_backoff=60, max_backoff=60)
    begin = time.monotonic()
    with pytest.raises(ConnectionFailedError):
        read(client, "hi", max_retries=patient, timeout=0.5)
    assert time.monotonic() - begin < 30, "it must not wait for its pauses of up to a minute"


def test_closing_a_stream_ends_its_pause(client, server):
    server.reply = [abort("UNAVAILABLE", "Socket closed")]
    stream = client.stream("hi", max_retries=RetryPolicy(max_retries=100, initial_backoff=30, max_backoff=30))
    server.wait_for_requests()
    threading.Timer(0.1, stream.close).start()
    with pytest.raises((StreamClosedError, ConnectionFailedError)):
        next(stream)


@pytest.mark.slow
def test_the_question_for_the_signature_is_asked_again(read):
    with FakeTriton(["fine"]) as server:
        url = server.url
        port = int(url.rpartition(":")[2])
    restarted = FakeTriton(["fine"], port=port)
    threading.Timer(0.3, restarted.start).start()
    try:
        with StreamingClient(
            "gpt.streaming",
            url=url,
            max_retries=RetryPolicy(max_retries=50, initial_backoff=0.2, max_backoff=0.2),
        ) as client:
            assert read(client, "hi")[1].text == "fine"
    finally:
        restarted.stop()
