"""The queue of requests for which no server has room: its order, whoever leaves, several models, sessions, its cost."""

from __future__ import annotations

import time

import pytest
from core.balance.failures import error_of
from hypothesis import given
from hypothesis import strategies as st

from nupic_client._core.balance.pool import Pool
from nupic_client._core.balance.queue import RequestQueue

NOW = 100.0


def full_pool(*addresses, limit=1, **options):
    """Return a pool where all is taken, with the leases."""
    pool = Pool(max_outstanding=limit, **options)
    pool.set_addresses(addresses)
    leases = []
    while (lease := pool.choose("llm", now=NOW, draw=0.5)) is not None:
        leases.append(lease)
    return pool, leases


def granted(queue, pool, now=NOW):
    found = []
    while (grant := queue.grant(pool, now, 0.5)) is not None:
        found.append(grant)
    return [(waiter, lease.address) for waiter, lease in found]


def waiting(*waiters, model="llm"):
    queue = RequestQueue()
    for waiter in waiters:
        queue.add(waiter, model)
    return queue


def test_first_come_first_served():
    pool, leases = full_pool("a", "b")
    queue = waiting("one", "two", "three")
    assert granted(queue, pool) == []
    served = []
    for lease in leases:
        pool.release(lease)
        served += [waiter for waiter, _ in granted(queue, pool)]
    assert served == ["one", "two"]
    assert ("three" in queue, "two" in queue, len(queue)) == (True, False, 1)


def test_all_that_there_is_room_for():
    pool, leases = full_pool("a", "b", limit=2)
    queue = waiting(*range(10))
    for lease in leases[:3]:
        pool.release(lease)
    assert [waiter for waiter, _ in granted(queue, pool)] == [0, 1, 2]


def test_whoever_leaves_is_not_served():
    pool, leases = full_pool("a")
    queue = waiting("one", "two", "three")
    assert queue.remove("one")
    assert not queue.remove("one")
    pool.release(leases[0])
    assert granted(queue, pool) == [("two", "a")]
    assert not queue.remove("two"), "it has a lease, which is to be released"


def test_each_waits_once():
    queue = waiting("one")
    with pytest.raises(ValueError, match="once"):
        queue.add("one", "another")
    queue.remove("one")
    queue.add("one", "another")
    assert len(queue) == 1


def test_a_model_without_room_does_not_stop_another_one():
    pool = Pool(max_outstanding=1)
    pool.set_addresses(["a", "b"])
    gone = pool.choose("only on b", tried={"b"}, now=NOW, draw=0.5)
    pool.failed(gone, error_of("not found"), NOW, 0.5)
    on_b = pool.choose("only on b", now=NOW, draw=0.5)
    assert (gone.address, on_b.address) == ("a", "b")
    queue = RequestQueue()
    queue.add("first", "only on b")
    queue.add("second", "anywhere")
    pool.release(gone)
    assert granted(queue, pool) == [("second", "a")]
    pool.release(on_b)
    assert granted(queue, pool) == [("first", "b")]


def test_the_oldest_of_several_models():
    pool, leases = full_pool("a")
    queue = RequestQueue()
    for number in range(6):
        queue.add(number, f"model {number % 3}")
    served = []
    for _ in range(6):
        pool.release(leases.pop())
        waiter, lease = queue.grant(pool, NOW, 0.5)
        served.append(waiter)
        leases.append(lease)
    assert served == list(range(6))


def test_a_session_goes_home_where_home_has_room():
    pool = Pool(balancing="sticky", max_outstanding=2)
    pool.set_addresses("abcd")
    home = pool.choose("llm", session="mine", now=NOW, draw=0.5)
    pool.release(home)
    leases = []
    while (lease := pool.choose("llm", now=NOW, draw=0.5)) is not None:
        leases.append(lease)
    queue = RequestQueue()
    queue.add("request", "llm", session="mine")
    for lease in leases:
        pool.release(lease)
    assert granted(queue, pool) == [("request", home.address)]


def test_a_session_does_not_wait_for_its_home():
    pool, leases = full_pool("a", "b", balancing="sticky")
    for lease in leases:
        queue = RequestQueue()
        queue.add("request", "llm", session="mine")
        pool.release(lease)
        assert granted(queue, pool) == [("request", lease.address)]


@pytest.mark.parametrize(("tried", "other"), [("a", "b"), ("b", "a")])
def test_another_server_than_those_that_were_tried(tried, other):
    pool, leases = full_pool("a", "b")
    queue = RequestQueue()
    queue.add("request", "llm", tried={tried})
    for lease in leases:
        pool.release(lease)
    assert granted(queue, pool) == [("request", other)]


def test_requests_for_one_server_do_not_stop_the_others():
    pool, leases = full_pool("a", "b")
    on = {lease.address: lease for lease in leases}
    queue = RequestQueue()
    queue.add("first", "llm", only="a")
    queue.add("second", "llm")
    queue.add("third", "llm", only="a")
    pool.release(on["b"])
    assert granted(queue, pool) == [("second", "b")]
    pool.release(on["a"])
    assert granted(queue, pool) == [("first", "a")]


def test_all_who_wait_when_the_pool_closes():
    queue = waiting("one", "two")
    assert queue.clear() == ["one", "two"]
    assert (len(queue), queue.remove("one")) == (0, False)


def test_where_the_full_ones_fail_those_that_wait_go_where_they_can():
    pool = Pool(max_outstanding=1)
    pool.set_addresses(["a", "b"])
    refused = pool.choose("llm", tried={"b"}, now=NOW, draw=0.5)
    pool.failed(refused, error_of("refused"), NOW, 0.1)
    pool.release(refused)
    running = pool.choose("llm", now=NOW, draw=0.5)
    queue = waiting("request")
    assert granted(queue, pool) == []
    pool.failed(running, error_of("refused"), NOW, 0.9)
    assert granted(queue, pool) == [("request", "a")]


def test_a_server_that_is_back_serves_those_that_wait():
    pool = Pool(max_outstanding=1)
    pool.set_addresses(["a", "b"])
    refused = pool.choose("llm", tried={"b"}, now=NOW, draw=0.5)
    pool.failed(refused, error_of("refused"), NOW, 0.1)
    pool.release(refused)
    pool.choose("llm", now=NOW, draw=0.5)
    queue = waiting("request")
    assert granted(queue, pool) == []
    (probe,) = pool.due_probes(NOW + 1)
    pool.probed(probe, True, NOW + 1, 0.5)
    assert granted(queue, pool) == [("request", "a")]


@given(st.lists(st.tuples(st.sampled_from("arg"), st.integers(0, 9)), max_size=80))
def test_the_order_holds_whoever_leaves(steps):
    pool, leases = full_pool("a", "b")
    queue, expected = RequestQueue(), {}
    for number, (step, which) in enumerate(steps):
        if step == "a":
            queue.add(number, f"model {which % 2}")
            expected[number] = None
        elif step == "r" and expected:
            gone = list(expected)[which % len(expected)]
            assert queue.remove(gone)
            del expected[gone]
        elif leases:
            pool.release(leases.pop())
            if (grant := queue.grant(pool, NOW, 0.5)) is not None:
                assert grant[0] == next(iter(expected))
                del expected[grant[0]]
                leases.append(grant[1])
        assert len(queue) == len(expected)


def test_nothing_is_left_of_those_that_are_gone():
    queue = RequestQueue()
    for number in range(1_000):
        queue.add(number, f"model {number}")
    for number in range(1_000):
        queue.remove(number)
    assert (queue._lines, queue._where) == ({}, {})


def seconds_of(count):
    pool, (lease,) = full_pool("a")
    queue = waiting(*range(count))
    begin = time.process_time()
    for number in range(0, count, 2):
        queue.remove(number)
    for _ in range(count // 2):
        pool.release(lease)
        _, lease = queue.grant(pool, NOW, 0.5)
    assert len(queue) == 0
    return time.process_time() - begin


@pytest.mark.slow
def test_a_long_queue_costs_no_more_a_request_than_a_short_one():
    # A hundred times as many take a hundred times as long; thousands where each looks at all that were before it.
    assert min(seconds_of(200_000) for _ in range(2)) < 500 * min(seconds_of(2_000) for _ in range(3))


def test_the_first_is_the_one_that_waits_the_longest():
    queue = RequestQueue()
    assert queue.first is None
    for waiter in ("a", "b", "c"):
        queue.add(waiter, f"model of {waiter}")
    assert queue.first == "a"
    queue.remove("a")
    assert queue.first == "b"
