"""The pool of servers: choice, counts, quarantine, probes, addresses that come and go."""

from __future__ import annotations

from collections import Counter

import pytest
from core.balance.failures import FAILURES, error_of
from hypothesis import given, settings
from hypothesis import strategies as st

from nupic_client._core.balance.pool import Pool

NOW = 100.0


def pool_of(*addresses, **options):
    pool = Pool(**options)
    pool.set_addresses(addresses)
    return pool


def chosen(pool, count=1, *, model="llm", now=NOW, **options):
    """Return the leases of so many requests."""
    return [
        pool.choose(model, now=now, draw=number / count, **({"session": None} | options))
        for number in range(count)
    ]


def fail(pool, failure, address, *, model="llm", now=NOW, draw=0.5):
    """Let a request to this server fail."""
    others = [view.address for view in pool.endpoints(now) if view.address != address]
    lease = pool.choose(model, tried=others, now=now, draw=0.5)
    assert lease.address == address
    pool.failed(lease, error_of(failure), now, draw)
    pool.release(lease)
    return lease


def picked(pool, *, model="llm", now=NOW, count=40):
    """Return the addresses that requests get, each of which ends at once."""
    found = set()
    for number in range(count):
        lease = pool.choose(model, now=now, draw=number / count)
        found.add(lease.address)
        pool.release(lease)
    return found


def probe(pool, ready, now, draw=0.5):
    """Answer the probes that are due and return what they ask for."""
    probes = pool.due_probes(now)
    for each in probes:
        pool.probed(each, ready, now, draw)
    return [(each.address, each.model) for each in probes]


def view(pool, address, now=NOW):
    return next(view for view in pool.endpoints(now) if view.address == address)


# Choice


def test_the_least_busy_server_is_chosen():
    pool = pool_of("a", "b")
    first, second, third = (pool.choose("llm", now=NOW, draw=0.9) for _ in range(3))
    assert [first.address, second.address, third.address] == ["b", "a", "b"]
    pool.release(third)
    pool.release(first)
    assert pool.choose("llm", now=NOW, draw=0.0).address == "b"


def test_ties_are_broken_fairly():
    pool = pool_of("a", "b", "c", "d")
    found = Counter()
    for number in range(1_000):
        lease = pool.choose("llm", now=NOW, draw=(number * 0.618) % 1)
        found[lease.address] += 1
        pool.release(lease)
    assert all(240 < count < 260 for count in found.values()), found


@pytest.mark.parametrize("balancing", ["least-busy", "round-robin", "sticky"])
def test_many_at_once_are_spread(balancing):
    pool = pool_of("a", "b", "c", balancing=balancing)
    assert set(Counter(lease.address for lease in chosen(pool, 30)).values()) == {10}


def test_round_robin_takes_no_notice_of_load():
    pool = pool_of("a", "b", "c", balancing="round-robin")
    order = [lease.address for lease in chosen(pool, 9)]
    assert order[:3] == order[3:6] == order[6:]
    assert set(order[:3]) == {"a", "b", "c"}


def test_round_robin_goes_on_when_servers_come_and_go():
    pool = pool_of("a", "b", "c", balancing="round-robin")
    first, second, _ = chosen(pool, 3)
    fail(pool, "refused", first.address)
    pool.set_addresses(["a", "b", "c", "d"])
    assert [lease.address for lease in chosen(pool, 2)] == ["d", second.address]
    assert first.address not in {lease.address for lease in chosen(pool, 6)}


def test_a_session_stays_where_it_is():
    pool = pool_of("a", "b", "c", "d", balancing="sticky")
    homes = {}
    for _ in range(3):
        for number in range(200):
            (lease,) = chosen(pool, session=f"session {number}")
            assert homes.setdefault(number, lease.address) == lease.address
            pool.release(lease)
    assert set(homes.values()) == {"a", "b", "c", "d"}


def test_sessions_stay_over_a_death_and_go_home_afterwards():
    pool = pool_of("a", "b", "c", "d", balancing="sticky")

    def homes():
        found = {}
        for number in range(400):
            (lease,) = chosen(pool, session=f"session {number}")
            found[number] = lease.address
            pool.release(lease)
        return found

    before = homes()
    fail(pool, "refused", "b")
    during = homes()
    stayed = [number for number in before if before[number] != "b"]
    assert all(during[number] == before[number] for number in stayed)
    assert "b" not in during.values()
    assert probe(pool, True, NOW + 1) == [("b", "")]
    assert homes() == before


def test_a_busy_home_sends_its_session_to_the_next_one():
    pool = pool_of("a", "b", "c", "d", balancing="sticky")
    found = Counter(lease.address for lease in chosen(pool, 100, session="everybody's"))
    assert max(found.values()) <= 32
    assert sorted(found.values())[-2] > 25


def test_without_a_session_sticky_is_least_busy():
    pool = pool_of("a", "b", balancing="sticky")
    assert Counter(lease.address for lease in chosen(pool, 10)) == {"a": 5, "b": 5}


def test_sessions_mean_nothing_elsewhere():
    pool = pool_of("a", "b", balancing="least-busy")
    assert Counter(lease.address for lease in chosen(pool, 10, session="one")) == {"a": 5, "b": 5}


def test_those_that_were_tried_are_taken_last():
    pool = pool_of("a", "b", "c")
    assert {pool.choose("llm", tried={"a", "c"}, now=NOW, draw=0.5).address for _ in range(5)} == {"b"}
    assert pool.choose("llm", tried={"a", "b", "c"}, now=NOW, draw=0.5) is not None
    fail(pool, "refused", "b")
    assert pool.choose("llm", tried={"a", "c"}, now=NOW, draw=0.5).address in {"a", "c"}


def test_a_pool_without_servers_has_no_place():
    assert Pool().choose("llm", now=NOW, draw=0.5) is None


# One server only


def test_one_server_takes_it_well_or_not():
    pool = pool_of("a", "b", "c")
    fail(pool, "refused", "b")
    assert {lease.address for lease in chosen(pool, 5, only="b")} == {"b"}
    assert probe(pool, True, NOW + 1) == [("b", "")], "it is wanted"


def test_one_server_may_be_full():
    pool = pool_of("a", "b", max_outstanding=1)
    assert [lease and lease.address for lease in chosen(pool, 2, only="b")] == ["b", None]


def test_one_server_that_is_no_more_is_any():
    pool = pool_of("a", "b")
    assert chosen(pool, only="gone")[0].address in {"a", "b"}


# Limits


def test_where_all_are_full_there_is_no_place():
    pool = pool_of("a", "b", max_outstanding=2)
    leases = chosen(pool, 4)
    assert pool.choose("llm", now=NOW, draw=0.5) is None
    assert pool.choose("another", now=NOW, draw=0.5) is None
    pool.release(leases[0])
    assert pool.choose("llm", now=NOW, draw=0.5).address == leases[0].address


def test_a_quarantined_server_is_no_way_out_while_others_are_only_full():
    pool = pool_of("a", "b", max_outstanding=1)
    fail(pool, "refused", "a")
    assert pool.choose("llm", now=NOW, draw=0.5).address == "b"
    assert pool.choose("llm", now=NOW, draw=0.5) is None


def test_where_the_others_are_full_one_that_was_tried_is_taken():
    pool = pool_of("a", "b", max_outstanding=1)
    assert pool.choose("llm", tried={"b"}, now=NOW, draw=0.5).address == "a"
    assert pool.choose("llm", tried={"b"}, now=NOW, draw=0.5).address == "b"
    assert pool.choose("llm", tried={"b"}, now=NOW, draw=0.5) is None


def test_the_limit_holds_for_quarantined_ones_too():
    pool = pool_of("a", max_outstanding=1)
    fail(pool, "refused", "a")
    assert pool.choose("llm", now=NOW, draw=0.5).address == "a"
    assert pool.choose("llm", now=NOW, draw=0.5) is None


def test_a_place_is_given_back_once():
    pool = pool_of("a")
    first, _ = chosen(pool, 2)
    for _ in range(3):
        assert pool.release(first) is None
    assert view(pool, "a").running == 1


# Failures

SERVER_OUT = {"refused": "quarantined", "tls": "quarantined", "exiting": "draining"}
MODEL_OUT = {"no versions", "not found", "between tokens"}
HARMLESS = sorted(set(FAILURES) - set(SERVER_OUT) - MODEL_OUT)


@pytest.mark.parametrize("failure", SERVER_OUT)
def test_a_server_that_is_out_gets_no_requests_for_any_model(failure):
    pool = pool_of("a", "b")
    fail(pool, failure, "a")
    assert view(pool, "a").state == SERVER_OUT[failure]
    assert picked(pool, now=NOW + 1000) == {"b"}
    assert picked(pool, model="another", now=NOW + 1000) == {"b"}


@pytest.mark.parametrize("failure", sorted(MODEL_OUT))
def test_a_model_that_is_out_keeps_its_server_for_other_models(failure):
    pool = pool_of("a", "b")
    fail(pool, failure, "a")
    assert view(pool, "a").quarantined_models == {"llm": pytest.approx(0.05)}
    assert view(pool, "a").state in {"up", "unknown"}
    assert picked(pool, now=NOW + 1000) == {"b"}
    assert picked(pool, model="another") == {"a", "b"}


@pytest.mark.parametrize("failure", HARMLESS)
def test_other_failures_say_nothing_against_the_server(failure):
    pool = pool_of("a", "b")
    fail(pool, failure, "a")
    assert picked(pool) == {"a", "b"}
    assert pool.due_probes(NOW + 1000) == []


def test_a_refusal_is_an_answer():
    pool = pool_of("a", "b", "c")
    for address, failure in (("a", "rejected"), ("b", "credentials"), ("c", "aged")):
        fail(pool, failure, address)
    assert [view.state for view in pool.endpoints(NOW)] == ["up", "up", "unknown"]


def test_the_many_requests_of_one_death_are_one_failure():
    pool = pool_of("a", "b")
    running = [lease for lease in chosen(pool, 40) if lease.address == "a"]
    for lease in running:
        pool.failed(lease, error_of("refused"), NOW, 1.0)
    assert picked(pool) == {"b"}
    assert probe(pool, True, NOW + 0.1) == [("a", "")]
    late = running[-1]
    pool.failed(late, error_of("refused"), NOW + 0.2, 1.0)
    assert "a" in picked(pool, now=NOW + 0.2), "it had been sent before the server came back"


def test_the_many_streams_of_one_dead_model_are_one_failure():
    pool = pool_of("a", "b")
    for lease in [lease for lease in chosen(pool, 40) if lease.address == "a"]:
        pool.failed(lease, error_of("between tokens"), NOW, 1.0)
    assert view(pool, "a").quarantined_models == {"llm": pytest.approx(0.1)}


def test_an_answer_of_before_does_not_bring_a_model_back():
    pool = pool_of("a", "b")
    running = next(lease for lease in chosen(pool, 2) if lease.address == "a")
    fail(pool, "between tokens", "a")
    pool.succeeded(running, NOW)
    assert set(view(pool, "a").quarantined_models) == {"llm"}


def test_after_a_certain_failure_it_is_asked_once_a_minute():
    pool = pool_of("a")
    for _ in range(12):
        fail(pool, "tls", "a", draw=0.999)
    picked(pool)
    assert 50 < pool.next_probe() - NOW < 60


def test_those_that_run_on_a_server_that_exits_do_not_bring_it_back():
    pool = pool_of("a", "b")
    running = next(lease for lease in chosen(pool, 2) if lease.address == "a")
    fail(pool, "exiting", "a")
    pool.succeeded(running, NOW)
    assert view(pool, "a").state == "draining"
    assert view(pool, "a").running == 1
    assert picked(pool) == {"b"}


def test_a_failure_of_one_model_does_not_count_for_another():
    pool = pool_of("a", "b")
    other = next(lease for lease in chosen(pool, 2, model="another") if lease.address == "a")
    fail(pool, "no versions", "a")
    pool.failed(other, error_of("no versions"), NOW, 0.5)
    assert set(view(pool, "a").quarantined_models) == {"llm", "another"}


def test_late_first_tokens_of_a_busy_server_say_nothing():
    pool = pool_of("a", "b")
    for _ in range(10):
        slow, fast = (pool.choose("llm", tried={"b"}, now=NOW, draw=0.5) for _ in range(2))
        pool.succeeded(fast, NOW + 1)
        pool.failed(slow, error_of("first token"), NOW + 2, 0.5)
    assert view(pool, "a").quarantined_models == {}


def test_one_answer_while_others_wait_speaks_for_the_server():
    pool = pool_of("a", "b")
    fast, *slow = (pool.choose("llm", tried={"b"}, now=NOW, draw=0.5) for _ in range(6))
    pool.succeeded(fast, NOW + 1)
    for lease in slow:
        pool.failed(lease, error_of("first token"), NOW + 2, 0.5)
    assert view(pool, "a").quarantined_models == {}


def test_several_without_any_answer_in_between_look_like_a_model_that_hangs():
    pool = pool_of("a", "b")
    for expected in ({}, {}, {"llm": pytest.approx(0.05)}):
        fail(pool, "first token", "a")
        assert view(pool, "a").quarantined_models == expected


def test_an_answer_in_between_starts_the_count_again():
    pool = pool_of("a", "b")
    fail(pool, "first token", "a")
    fail(pool, "first token", "a")
    pool.succeeded(pool.choose("llm", tried={"b"}, now=NOW, draw=0.5), NOW)
    fail(pool, "first token", "a", now=NOW + 1)
    fail(pool, "first token", "a", now=NOW + 1)
    assert view(pool, "a").quarantined_models == {}


# All out


def test_where_all_are_out_the_one_that_is_due_next_is_taken():
    pool = pool_of("a", "b", "c")
    for address, draw in (("a", 0.9), ("b", 0.2), ("c", 0.5)):
        fail(pool, "refused", address, draw=draw)
    assert pool.choose("llm", now=NOW, draw=0.5).address == "b"
    assert pool.choose("llm", tried={"b"}, now=NOW, draw=0.5).address == "c"
    assert pool.choose("llm", tried={"a", "b", "c"}, now=NOW, draw=0.5).address == "b"


def test_one_that_answers_after_all_is_up():
    pool = pool_of("a", "b")
    fail(pool, "refused", "a", draw=0.1)
    fail(pool, "refused", "b", draw=0.9)
    lease = pool.choose("llm", now=NOW, draw=0.5)
    pool.succeeded(lease, NOW)
    assert view(pool, "a").state == "up"
    assert picked(pool) == {"a"}


def test_one_that_says_that_it_lacks_the_model_is_up():
    pool = pool_of("a")
    fail(pool, "refused", "a")
    fail(pool, "not found", "a")
    assert view(pool, "a").state == "up"
    assert set(view(pool, "a").quarantined_models) == {"llm"}


def test_one_that_exits_and_answers_after_all_is_up():
    pool = pool_of("a")
    fail(pool, "exiting", "a")
    pool.succeeded(pool.choose("llm", now=NOW, draw=0.5), NOW)
    assert view(pool, "a").state == "up"


def test_where_all_exit_one_of_them_is_taken_rather_than_none():
    pool = pool_of("a", "b")
    fail(pool, "exiting", "a")
    fail(pool, "exiting", "b")
    assert pool.choose("llm", now=NOW, draw=0.5) is not None


def test_a_model_that_is_out_everywhere_is_still_asked_for():
    pool = pool_of("a", "b")
    for address in "ab":
        fail(pool, "not found", address)
    assert pool.choose("llm", now=NOW, draw=0.5) is not None


# Probes


@pytest.mark.parametrize("failure", SERVER_OUT)
def test_a_server_that_is_ready_again_is_up(failure):
    pool = pool_of("a", "b")
    fail(pool, failure, "a")
    picked(pool)
    assert pool.due_probes(NOW + 0.04) == []
    assert probe(pool, True, NOW + 0.05) == [("a", "")]
    assert view(pool, "a").state == "up"
    assert picked(pool) == {"a", "b"}


def test_a_server_that_is_not_ready_is_asked_later_and_later():
    pool = pool_of("a", "b")
    fail(pool, "refused", "a", draw=1.0)
    now, pauses = NOW, []
    for _ in range(10):
        picked(pool)
        when = pool.next_probe()
        pauses.append(round(when - now, 3))
        now = when
        assert probe(pool, False, now, draw=1.0) == [("a", "")]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]


def test_each_probe_is_handed_out_once():
    pool = pool_of("a", "b")
    fail(pool, "refused", "a")
    picked(pool)
    (only,) = pool.due_probes(NOW + 1)
    assert pool.due_probes(NOW + 2) == []
    pool.probed(only, False, NOW + 2, 0.0)
    picked(pool)
    assert [each.address for each in pool.due_probes(NOW + 2)] == ["a"]


def test_an_idle_client_asks_nothing():
    pool = pool_of("a", "b")
    fail(pool, "no versions", "b", model="another")
    fail(pool, "refused", "a")
    assert (pool.next_probe(), pool.due_probes(NOW + 1000)) == (None, [])
    picked(pool)
    assert probe(pool, False, NOW + 1000) == [("a", "")]
    assert pool.next_probe() is None


def test_a_server_is_asked_before_its_models():
    pool = pool_of("a", "b")
    fail(pool, "no versions", "a")
    fail(pool, "refused", "a", model="another")
    picked(pool)
    assert probe(pool, True, NOW + 1) == [("a", "")]
    assert picked(pool) == {"b"}
    assert probe(pool, True, NOW + 1) == [("a", "llm")]
    assert picked(pool) == {"a", "b"}


def test_after_ready_one_request_tries_a_model():
    pool = pool_of("a", "b")
    fail(pool, "between tokens", "a")
    picked(pool)
    probe(pool, True, NOW + 1)
    found = chosen(pool, 9, now=NOW + 1)
    assert [lease.address for lease in found].count("a") == 1
    trial = next(lease for lease in found if lease.address == "a")
    pool.succeeded(trial, NOW + 2)
    assert {lease.address for lease in chosen(pool, 5)} == {"a"}, "the less busy one"


def test_a_trial_that_fails_makes_the_next_quarantine_longer():
    pool = pool_of("a", "b")
    fail(pool, "between tokens", "a", draw=1.0)
    picked(pool)
    probe(pool, True, NOW + 1)
    fail(pool, "first token", "a", draw=1.0)
    assert view(pool, "a").quarantined_models == {"llm": pytest.approx(0.2)}


def test_a_trial_that_is_cancelled_lets_the_next_one_try():
    pool = pool_of("a", "b")
    fail(pool, "between tokens", "a")
    picked(pool)
    probe(pool, True, NOW + 1)
    trial = next(lease for lease in chosen(pool, 3) if lease.address == "a")
    assert "a" not in {lease.address for lease in chosen(pool, 3)}
    pool.release(trial)
    assert "a" in {lease.address for lease in chosen(pool, 3)}


def test_an_answer_to_a_question_of_before_is_ignored():
    pool = pool_of("a")
    fail(pool, "refused", "a")
    picked(pool)
    (old,) = pool.due_probes(NOW + 1)
    fail(pool, "refused", "a", now=NOW + 1)
    pool.probed(old, True, NOW + 1, 0.5)
    assert view(pool, "a").state == "quarantined"
    lease = pool.choose("llm", now=NOW + 1, draw=0.5)
    pool.succeeded(lease, NOW + 1)
    pool.probed(old, False, NOW + 1, 0.5)
    assert view(pool, "a").state == "up"


# Elsewhere

TRAVELS = {
    "refused",
    "tls",
    "aged",
    "gateway 504",
    "exiting",
    "no versions",
    "not found",
    "overloaded",
    "cancelled",
    "aborted",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_which_failures_go_elsewhere(failure):
    pool = pool_of("a", "b")
    fail(pool, failure, "a")
    assert pool.elsewhere("llm", error_of(failure), {"a"}, NOW) == (failure in TRAVELS)
    assert not pool.elsewhere("llm", error_of(failure), {"a", "b"}, NOW)
    assert not pool_of("a").elsewhere("llm", error_of(failure), {"a"}, NOW)


def test_a_model_that_no_server_has_ends_with_the_error_of_the_last():
    pool = pool_of("a", "b", "c")
    for request in range(3):
        tried = []
        while True:
            lease = pool.choose("nope", tried=tried, now=NOW, draw=0.5)
            assert lease.address not in tried
            tried.append(lease.address)
            pool.failed(lease, error_of("not found"), NOW, 0.5)
            pool.release(lease)
            if not pool.elsewhere("nope", error_of("not found"), tried, NOW):
                break
        assert len(tried) == (1 if request else 3)


def test_a_model_may_be_on_a_server_that_is_out_for_another_reason():
    pool = pool_of("a", "b")
    fail(pool, "refused", "b")
    fail(pool, "not found", "a")
    assert pool.elsewhere("llm", error_of("not found"), {"a"}, NOW)
    assert pool.choose("llm", tried={"a"}, now=NOW, draw=0.5).address == "b"


def test_nothing_is_hurried_where_all_are_out():
    pool = pool_of("a", "b")
    fail(pool, "refused", "a")
    fail(pool, "refused", "b")
    assert not pool.elsewhere("llm", error_of("refused"), {"a"}, NOW)
    assert pool.elsewhere("llm", error_of("refused"), {"a"}, NOW + 0.05)


def test_one_that_is_due_is_no_reason_to_leave_a_server_that_is_well():
    pool = pool_of("a", "b")
    fail(pool, "refused", "b")
    assert not pool.elsewhere("llm", error_of("aged"), {"a"}, NOW + 1)
    fail(pool, "refused", "a")
    assert pool.elsewhere("llm", error_of("refused"), {"a"}, NOW + 1)


# Addresses


def test_new_and_vanished_addresses_are_told():
    pool = Pool()
    assert pool.set_addresses(["a", "b", "a"]) == (["a", "b"], [])
    assert pool.set_addresses(["b", "c"]) == (["c"], ["a"])
    assert pool.set_addresses(["c", "b"]) == ([], [])


def test_one_that_has_vanished_finishes_what_it_runs():
    pool = pool_of("a", "b")
    first, second, *_ = [lease for lease in chosen(pool, 4) if lease.address == "a"]
    assert pool.set_addresses(["b"]) == ([], [])
    assert (view(pool, "a").state, view(pool, "a").running) == ("draining", 2)
    assert picked(pool) == {"b"}
    assert pool.release(first) is None
    assert pool.release(second) == "a"
    assert pool.release(second) is None
    assert [view.address for view in pool.endpoints(NOW)] == ["b"]


def test_one_that_vanished_and_is_back_was_never_away():
    pool = pool_of("a", "b")
    lease = next(lease for lease in chosen(pool, 2) if lease.address == "a")
    pool.succeeded(lease, NOW)
    pool.set_addresses(["b"])
    assert pool.set_addresses(["a", "b"]) == ([], [])
    assert pool.release(lease) is None
    assert view(pool, "a").state == "up"


def test_one_that_comes_back_after_its_end_is_new():
    pool = pool_of("a", "b")
    old = fail(pool, "refused", "a")
    pool.set_addresses(["b"])
    assert pool.set_addresses(["a", "b"]) == (["a"], [])
    assert view(pool, "a").state == "unknown"
    pool.failed(old, error_of("refused"), NOW, 0.5)
    assert view(pool, "a").state == "unknown"
    assert pool.release(old) is None


def test_no_addresses_at_all_are_no_news():
    pool = pool_of("a", "b")
    assert pool.set_addresses([]) == ((), ())
    assert picked(pool) == {"a", "b"}


def test_nobody_asks_whether_a_server_that_has_vanished_is_ready():
    pool = pool_of("a", "b")
    lease = next(lease for lease in chosen(pool, 2) if lease.address == "a")
    pool.failed(lease, error_of("refused"), NOW, 0.5)
    picked(pool)
    pool.set_addresses(["b"])
    assert (pool.next_probe(), pool.due_probes(NOW + 1)) == (None, [])


# Looking


def test_endpoints_show_what_runs_and_how_fast():
    pool = pool_of("a", "b")
    first, second = chosen(pool, 2)
    pool.succeeded(first, NOW, time_to_first_token=2.0)
    pool.succeeded(first, NOW)
    pool.release(second)
    views = pool.endpoints(NOW)
    assert [view.running for view in views] == [1, 0]
    assert [view.time_to_first_token for view in views] == [2.0, None]


# Whatever happens


ADDRESSES = "abcd"
MODELS = ["llm", "another"]
NAMES = list(FAILURES)


class World:
    """A pool, the requests that it runs and the channels of its servers, with checks of each step."""

    def __init__(self, balancing, limit):
        self.pool = Pool(balancing=balancing, max_outstanding=limit)
        self.limit = limit or 1_000
        self.present = set(ADDRESSES)
        self.channels = set(self.pool.set_addresses(ADDRESSES)[0])
        self.leases = []
        self.now = NOW

    def open_to(self, model):
        """Return the addresses of the servers that are well for a model."""
        on_trial = {
            address
            for address, server in self.pool._servers.items()
            if (it := server.models.get(model)) and it.health.on_trial and it.trial is None
        }
        return {
            view.address
            for view in self.pool.endpoints(self.now)
            if view.state in {"unknown", "up"}
            and (model not in view.quarantined_models or view.address in on_trial)
        }

    def choose(self, number, draw):
        model, session = MODELS[number % 2], f"session {number}" if number % 3 else None
        tried = set(ADDRESSES[: number % 4])
        well = self.open_to(model)
        running = {view.address: view.running for view in self.pool.endpoints(self.now)}
        lease = self.pool.choose(model, session=session, tried=tried, now=self.now, draw=draw)
        if lease is None:
            assert all(running[address] >= self.limit for address in well or self.present)
            return
        self.leases.append(lease)
        assert lease.address in self.present, "it is gone"
        assert running[lease.address] < self.limit
        assert not well or lease.address in well, "another one is well"
        fresh = {address for address in well - tried if running[address] < self.limit}
        assert not fresh or lease.address in fresh, "it was tried already"

    def release(self, number, draw):
        if self.leases:
            lease = self.leases.pop(number % len(self.leases))
            address = self.pool.release(lease)
            assert self.pool.release(lease) is None
            if address is not None:
                assert address not in self.present
                self.channels.remove(address)

    def succeed(self, number, draw):
        if self.leases:
            self.pool.succeeded(self.leases[number % len(self.leases)], self.now, time_to_first_token=draw)

    def fail(self, number, draw):
        if self.leases:
            failure = error_of(NAMES[number % len(NAMES)])
            self.pool.failed(self.leases[number % len(self.leases)], failure, self.now, draw)

    def probe(self, number, draw):
        for each in self.pool.due_probes(self.now):
            assert each.address in self.present
            self.pool.probed(each, bool(number % 2), self.now, draw)

    def addresses(self, number, draw):
        wanted = [address for bit, address in enumerate(ADDRESSES) if number & 1 << bit]
        new, closable = self.pool.set_addresses(wanted)
        self.present = set(wanted) or self.present
        assert not self.channels & set(new), "it has a channel already"
        self.channels = (self.channels | set(new)) - set(closable)

    def wait(self, number, draw):
        self.now += number / 10

    def check(self):
        views = self.pool.endpoints(self.now)
        assert {view.address for view in views} == self.channels
        assert sum(view.running for view in views) == len(self.leases)
        assert all(0 <= view.running <= self.limit for view in views)


STEPS = st.tuples(
    st.sampled_from(["choose", "release", "succeed", "fail", "probe", "addresses", "wait"]),
    st.integers(0, 30),
    st.floats(0, 0.999),
)


@settings(max_examples=300)
@given(
    st.lists(STEPS, max_size=60),
    st.sampled_from(["least-busy", "round-robin", "sticky"]),
    st.sampled_from([None, 1, 3]),
)
def test_any_interleaving(steps, balancing, limit):
    world = World(balancing, limit)
    for step, number, draw in steps:
        getattr(world, step)(number, draw)
        world.check()
    while world.leases:
        world.release(0, 0.5)
    assert world.channels == world.present
    assert all(view.running == 0 for view in world.pool.endpoints(NOW))


@given(st.permutations(ADDRESSES), st.permutations(ADDRESSES), st.text(max_size=4))
def test_the_order_of_addresses_does_not_matter_for_sessions(one, other, session):
    places = [
        pool_of(*order, balancing="sticky").choose("llm", session=session, now=NOW, draw=0.5).address
        for order in (one, other)
    ]
    assert places[0] == places[1]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=80))
def test_the_load_of_a_sticky_pool_is_bounded(steps):
    pool, leases = pool_of(*ADDRESSES, balancing="sticky"), []
    for number, ends in steps:
        if ends and leases:
            pool.release(leases.pop(number % len(leases)))
            continue
        lease = pool.choose("llm", session=f"session {number}", now=NOW, draw=0.5)
        leases.append(lease)
        assert view(pool, lease.address).running <= -(-5 * len(leases) // (4 * len(ADDRESSES)))


def test_a_probe_that_was_given_up_is_made_again():
    pool = pool_of("a", "b")
    fail(pool, "refused", "a", draw=0.9)
    chosen(pool)
    (asked,) = pool.due_probes(NOW + 1)
    assert pool.due_probes(NOW + 1) == []
    pool.abandoned(asked)
    (again,) = pool.due_probes(NOW + 1)
    pool.probed(again, True, NOW + 1, 0.0)
    pool.abandoned(again)  # too late, and without effect
    assert pool.due_probes(NOW + 100) == []


def test_requests_can_be_counted_anew():
    pool = pool_of("a", "b")
    leases = chosen(pool, 4)
    pool.release(leases[0])
    pool.recount(leases[:3])  # nobody has the last one
    assert sum(each.running for each in pool.endpoints(NOW)) == 2


def test_a_question_does_not_wait_for_room():
    pool = pool_of("a", max_outstanding=1)
    chosen(pool)
    assert pool.choose("llm", now=NOW, draw=0.5) is None
    lease = pool.choose("llm", limited=False, now=NOW, draw=0.5)
    assert lease.address == "a"
    assert pool.choose("llm", only="a", limited=False, now=NOW, draw=0.5) is not None
