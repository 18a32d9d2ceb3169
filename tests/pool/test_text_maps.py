"""Many prompts over several servers."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pool.conftest import counts_return_to_zero, running, until

from nupic_client import RequestError, RetryPolicy, StreamClosedError, StreamingClient
from nupic_client.testing import EndpointGroup, silence, sleep

PATIENT = RetryPolicy(max_retries=20, initial_backoff=0.02, max_backoff=0.2)


@pytest.mark.parametrize("options", [{}, {"max_outstanding": 2}, {"balancing": "sticky"}], ids=str)
def test_all_servers_are_busy(flavour, options):
    with EndpointGroup(3, [sleep(0.01), "Hel", "lo"]) as group:
        with StreamingClient("gpt.streaming", group.urls, **options) as client:
            with counts_return_to_zero(client):
                prompts = [f"prompt {number}" for number in range(60)]
                results = flavour(client).map(prompts, concurrency=12)
            assert [result.text for result in results] == ["Hello"] * 60
            assert {result.endpoint for result in results} == {*group.urls}
            assert sum(group.shares) == 60
            assert min(group.shares) >= 5


def test_the_limit_holds(flavour):
    with EndpointGroup(2) as group, StreamingClient("gpt.streaming", group.urls, max_outstanding=2) as client:
        busiest = []

        def answer(request):
            busiest.append(max(running(client)))
            yield "x"

        for server in group:
            server.reply = answer
        with counts_return_to_zero(client):
            assert len(flavour(client).map(["hi"] * 40, concurrency=16)) == 40
        assert max(busiest) <= 2


def test_a_server_that_dies_costs_no_prompt_that_had_no_text(flavour):
    with EndpointGroup(2, [sleep(0.005), "Hel", "lo"]) as group:
        with StreamingClient("gpt.streaming", group.urls, max_retries=PATIENT) as client:
            done = threading.Event()

            def kill():
                group.kill(0)
                group.start_again(0)
                done.set()

            def prompts():
                for number in range(100):
                    if number == 30:
                        threading.Thread(target=kill).start()
                    yield f"prompt {number}"
                done.wait(60)

            with counts_return_to_zero(client):
                results = flavour(client).map(prompts(), concurrency=8, errors="return")
            failed = [result for result in results if isinstance(result, RequestError)]
            assert len(results) == 100
            assert all(error.partial_text for error in failed)


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_map_that_waits_for_a_server_can_be_closed_from_elsewhere(kind):
    with EndpointGroup(2, ["x", silence()]) as group:
        with StreamingClient("gpt.streaming", group.urls, max_outstanding=1) as client:
            held = [client.stream("hi") for _ in group]
            if kind == "blocking":
                results = client.map(["hi"] * 4)
                with ThreadPoolExecutor(1) as threads:
                    future = threads.submit(next, results)
                    until(lambda: len(client._pool._queue))
                    results.close()
                    with pytest.raises(StreamClosedError):
                        future.result(30)
            else:

                async def wait():
                    results = client.amap(["hi"] * 4)
                    task = asyncio.ensure_future(anext(results))
                    while not len(client._pool._queue):
                        await asyncio.sleep(0.001)
                    results.cancel()
                    with pytest.raises(StreamClosedError):
                        await task

                asyncio.run(wait())
            for stream in held:
                stream.close()
            with counts_return_to_zero(client):
                pass
            assert len(client._pool._queue) == 0


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_leaving_a_map_gives_its_places_back(kind):
    with EndpointGroup(2, ["x", silence()]) as group:
        with StreamingClient("gpt.streaming", group.urls) as client:
            with counts_return_to_zero(client):
                if kind == "blocking":
                    with client.map(["hi"] * 8, concurrency=4) as results, ThreadPoolExecutor(1) as threads:
                        future = threads.submit(next, results)
                        until(lambda: sum(running(client)) == 4)
                        results.close()
                        assert future.exception(30)
                else:

                    async def read():
                        async with client.amap(["hi"] * 8, concurrency=4) as results:
                            task = asyncio.ensure_future(anext(results))
                            while sum(running(client)) < 4:
                                await asyncio.sleep(0.001)
                            task.cancel()
                            with pytest.raises(asyncio.CancelledError):
                                await task

                    asyncio.run(read())


def test_a_result_does_not_wait_for_others_that_wait_for_a_server():
    """A thread that waited for a place to send the next prompt did not look at the results that were there."""

    def answer(request):
        return ["first"] if request.prompt == "0" else [silence()]

    with EndpointGroup(2, answer) as group:
        with StreamingClient("gpt.streaming", group.urls, max_outstanding=1, timeout=20) as client:
            ended = []
            prompts, note = ["0", *["1"] * 8], lambda index, _: ended.append(index)
            with client.map(prompts, concurrency=6, callback=note, errors="return") as results:
                assert next(results).text == "first"
                assert ended == [0], "the others have not come to their deadline"
