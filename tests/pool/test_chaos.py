"""Servers die and come back at random under traffic: what can be saved is saved, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from pool.conftest import counts_return_to_zero

from nupic_client import InferenceClient, RequestError, RetryPolicy, StreamingClient
from nupic_client.testing import EndpointGroup, sleep

PATIENT = RetryPolicy(max_retries=20, initial_backoff=0.02, max_backoff=0.2)
INPUTS = {"text_input": ["hi"], "max_tokens": [3]}


def answer(request):
    """Be done at once, or take a moment before the first word and after it."""
    luck = random.random()
    if luck < 0.1:
        yield sleep(0.01)
    yield "Hel"
    if luck < 0.1:
        yield sleep(0.01)
    yield "lo"


class Traffic:
    """Sends requests in all ways at the same time and writes down what became of them."""

    def __init__(self, group, count):
        self.group = group
        self.count = count
        self.outcomes = Counter()
        self.attempts = {}
        self.wrong = []
        self._lock = threading.Lock()

    def note(self, request_id, outcome, chunks=()):
        failed = isinstance(outcome, RequestError)
        with self._lock:
            self.outcomes[type(outcome).__name__ if failed else "fine"] += 1
            self.attempts[request_id] = outcome.attempts
        text = outcome.partial_text if failed else outcome.text
        if "".join(chunks) != text:
            self.wrong.append((request_id, chunks, outcome))
        if failed:
            # Without text it could have been saved: at each moment two servers were well.
            if not text or outcome.retryable:
                self.wrong.append((request_id, outcome))
        elif text != "Hello":
            self.wrong.append((request_id, outcome))

    def blocking(self, client, numbers):
        for number in numbers:
            chunks = []
            try:
                outcome = client.generate("hi", chunks.append, request_id=f"s{number}")
            except RequestError as error:
                outcome = error
            self.note(f"s{number}", outcome, chunks)

    def tasks(self, client, numbers):
        async def one(numbers):
            for number in numbers:
                chunks = []
                try:
                    outcome = await client.agenerate("hi", chunks.append, request_id=f"s{number}")
                except RequestError as error:
                    outcome = error
                self.note(f"s{number}", outcome, chunks)

        async def many():
            await asyncio.gather(*(one(numbers[index::8]) for index in range(8)))

        asyncio.run(many())

    def mapped(self, client, numbers):
        for result in client.map([INPUTS] * len(numbers), concurrency=8, errors="return"):
            failed = isinstance(result, RequestError)
            with self._lock:
                self.outcomes[type(result).__name__ if failed else "fine"] += 1
            if failed:
                self.wrong.append(result)


def break_things(group, over, seed):
    """Kill one server after the other and start it again, but never the last one that is well."""
    luck = random.Random(seed)
    while not over.wait(luck.uniform(0.05, 0.3)):
        index = luck.randrange(len(group))
        what = luck.choice(["kill", "kill", "not ready", "exiting"])
        if what == "kill":
            group.kill(index)
        elif what == "not ready":
            group.set_ready(index, False)
        else:
            group.set_exiting(index, True)
        over.wait(luck.uniform(0.05, 0.3))
        if what == "kill":
            group.start_again(index)
        group.set_ready(index, True)
        group.set_exiting(index, False)


def run(count, options, seed=1):
    over = threading.Event()
    with EndpointGroup(3, answer) as group:
        traffic = Traffic(group, count)
        streaming = StreamingClient("gpt.streaming", group.urls, max_retries=PATIENT, timeout=60, **options)
        inferring = InferenceClient("gpt", group.urls, max_retries=PATIENT, timeout=60, **options)
        with streaming, inferring:
            streaming.generate("hi")
            inferring.infer(INPUTS)
            for server in group:
                server.clear()
            breaking = threading.Thread(target=break_things, args=(group, over, seed))
            breaking.start()
            try:
                with ThreadPoolExecutor(8) as threads:
                    numbers = [*range(count)]
                    parts = [numbers[index::8] for index in range(8)]
                    ways = [
                        *((traffic.blocking, streaming, part) for part in parts[:4]),
                        *((traffic.tasks, streaming, part) for part in parts[4:6]),
                        *((traffic.mapped, inferring, part) for part in parts[6:]),
                    ]
                    for future in [threads.submit(*way) for way in ways]:
                        future.result()
            finally:
                over.set()
                breaking.join()
            with counts_return_to_zero(streaming), counts_return_to_zero(inferring):
                pass
        return traffic


def check(traffic, count):
    assert traffic.wrong == []
    assert sum(traffic.outcomes.values()) == count
    # No server has got a request that its client does not know of: so none after its text had come.
    got = Counter((request.request_id, server.url) for server in traffic.group for request in server.requests)
    for request_id, attempts in traffic.attempts.items():
        tried = Counter((request_id, attempt.endpoint) for attempt in attempts)
        assert all(got[each] <= count for each, count in tried.items())
        assert sum(got[request_id, url] for url in traffic.group.urls) <= len(attempts)
        assert got[request_id, attempts[-1].endpoint]
    assert traffic.outcomes["fine"] >= 0.9 * count


def test_a_thousand_requests_over_servers_that_die_and_come_back():
    check(run(1_000, {}), 1_000)


@pytest.mark.parametrize("options", [{"balancing": "sticky"}, {"max_outstanding": 3}], ids=str)
def test_so_with_other_choices_and_a_queue(options):
    check(run(500, options, seed=2), 500)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_requests_over_servers_that_die_and_come_back():
    check(run(10_000, {}, seed=3), 10_000)
