"""A name for several servers: its addresses come and go, and look-ups fail."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pool.conftest import counts_return_to_zero, running, states, until

from nupic_client import (
    ConnectionFailedError,
    InferenceClient,
    RetryPolicy,
    ServerClient,
    StreamClosedError,
    StreamingClient,
)
from nupic_client._grpc import names
from nupic_client.local.kserve.address import free_port
from nupic_client.testing import EndpointGroup, silence

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
QUICK = RetryPolicy(max_retries=2, initial_backoff=0.01)


class Resolver:
    """Stands for the name servers."""

    def __init__(self, addresses):
        self.addresses = addresses
        """None where the name cannot be resolved."""
        self.asked = 0
        self.blocked = None
        self._real = socket.getaddrinfo

    def __call__(self, host, port, *args, **options):
        if host != "triton.test":
            return self._real(host, port, *args, **options)
        self.asked += 1
        if self.blocked is not None:
            self.blocked.wait(60)
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [found for address in self.addresses for found in self._entries(address, port)]

    def _entries(self, address, port):
        host, _, zone = address.partition("%")
        if not zone:
            return self._real(address, port, type=socket.SOCK_STREAM)
        where = (host, port, 0, socket.if_nametoindex(zone))
        return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]


@pytest.fixture
def resolver(monkeypatch):
    resolver = Resolver(HOSTS[:2])
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return resolver


@pytest.fixture
def soon(monkeypatch):
    """Look names up anew all the time, and not each 30 s."""
    monkeypatch.setattr(names, "_EVERY", 0.01)
    monkeypatch.setattr(names, "_AT_MOST_EVERY", 0.01)


@pytest.fixture
def group():
    """Three servers with the same port, of which the name has two at first."""
    for _ in range(20):
        port = free_port("127.0.0.1")
        try:
            with EndpointGroup(hosts=HOSTS, port=port) as group:
                yield group
        except OSError:  # somebody has the port on another of the addresses
            continue
        return


def url(group):
    return f"dns:///triton.test:{group[0].url.rpartition(':')[2]}"


@pytest.fixture
def client(group, resolver):
    with StreamingClient("gpt.streaming", url(group), max_retries=QUICK) as client:
        yield client


def addresses(client):
    return sorted(states(client))


def test_all_addresses_of_a_name_are_used(group, client, flavour):
    client.endpoints()
    for _ in range(8):
        assert flavour(client).run("generate", "hi").endpoint in group.urls[:2]
    assert addresses(client) == group.urls[:2]
    assert len(flavour(client).many(4, "hi")) == 4
    assert min(group.shares[:2]) >= 2


def test_before_the_first_call_nothing_is_looked_up(client, resolver):
    assert client.endpoints() == []
    assert resolver.asked == 0


def test_the_servers_are_asked_by_their_name(group, client):
    """As one that serves several names needs it."""
    client.generate("hi")
    assert (
        client._pool.known[group.urls[0]].channel_options["grpc.default_authority"].startswith("triton.test:")
    )


def test_new_replicas_are_found(group, client, resolver, soon, flavour):
    flavour(client).run("generate", "hi")
    resolver.addresses = HOSTS
    until(lambda: flavour(client).run("generate", "hi").endpoint == group.urls[2])
    assert addresses(client) == group.urls


def test_names_are_not_looked_up_all_the_time(client, resolver):
    for _ in range(20):
        client.generate("hi")
    assert resolver.asked == 1


def test_a_vanished_address_finishes_its_streams_and_is_forgotten(group, client, resolver, soon, flavour):
    goes = threading.Event()

    def answer(request):
        yield "Hel"
        if request.prompt == "hold":
            goes.wait(60)
        yield "lo"

    for server in group:
        server.reply = answer
    streams = [client.stream("hold") for _ in range(2)]
    for stream in streams:
        next(stream)
    resolver.addresses = HOSTS[1:]
    until(lambda: flavour(client).run("generate", "hi").endpoint == group.urls[2])
    assert states(client)[group.urls[0]] == "draining"
    before = group.shares[0]
    for _ in range(6):
        flavour(client).run("generate", "hi")
    assert group.shares[0] == before
    goes.set()
    assert ["".join(stream) for stream in streams] == ["lo", "lo"]
    until(lambda: group.urls[0] not in states(client))
    flavour(client).run("generate", "hi")  # whoever comes next closes the channel
    flavour(client).run("generate", "hi")
    assert group.urls[0] not in client._transport._members
    resolver.addresses = HOSTS
    until(lambda: flavour(client).run("generate", "hi").endpoint == group.urls[0])


def test_a_name_that_fails_for_a_moment_changes_nothing(group, client, resolver, soon, flavour):
    flavour(client).run("generate", "hi")
    resolver.addresses = None
    asked = resolver.asked
    until(lambda: flavour(client).run("generate", "hi") and resolver.asked > asked + 3)
    assert addresses(client) == group.urls[:2]
    resolver.addresses = []
    asked = resolver.asked
    until(lambda: flavour(client).run("generate", "hi") and resolver.asked > asked + 3)
    assert addresses(client) == group.urls[:2]


def test_one_of_two_names_that_fails_loses_nothing(group, resolver, soon, flavour):
    port = url(group).rpartition(":")[2]
    with StreamingClient("gpt.streaming", [url(group), f"dns:///127.0.0.3:{port}"]) as client:
        flavour(client).run("generate", "hi")
        assert addresses(client) == group.urls
        resolver.addresses = None
        asked = resolver.asked
        until(lambda: flavour(client).run("generate", "hi") and resolver.asked > asked + 3)
        assert addresses(client) == group.urls


@pytest.mark.parametrize("method", ["generate", "infer"])
def test_a_first_look_up_that_fails_is_tried_again_and_then_says_so(group, resolver, flavour, method):
    resolver.addresses = None
    with InferenceClient("gpt", url(group), max_retries=QUICK) as client:
        argument = "hi" if method == "generate" else {"text_input": ["hi"], "max_tokens": [3]}
        with pytest.raises(ConnectionFailedError, match=r"cannot resolve .*'triton.test'") as caught:
            flavour(client).run(method, argument)
        assert resolver.asked == 3
        assert caught.value.retryable
        assert caught.value.endpoint == ""  # nothing was sent
        resolver.addresses = HOSTS[:1]
        flavour(client).run(method, argument)


def test_a_first_look_up_that_works_the_second_time_is_no_failure(group, resolver, flavour):
    resolver.addresses = None

    def later():
        until(lambda: resolver.asked)
        resolver.addresses = HOSTS[:1]

    thread = threading.Thread(target=later)
    thread.start()
    patient = RetryPolicy(max_retries=50, initial_backoff=0.05, max_backoff=0.05)
    with StreamingClient("gpt.streaming", url(group), max_retries=patient) as client:
        assert flavour(client).run("generate", "hi").text
    thread.join()


def test_a_slow_look_up_later_holds_up_nobody(group, client, resolver, soon, flavour):
    client.generate("hi")
    resolver.blocked = threading.Event()
    for _ in range(5):
        assert flavour(client).run("generate", "hi").text
    resolver.blocked.set()


def test_names_are_looked_up_at_once_after_a_failure(group, client, resolver, flavour, monkeypatch):
    monkeypatch.setattr(names, "_AT_MOST_EVERY", 0.01)
    flavour(client).run("generate", "hi")
    resolver.addresses = HOSTS[1:]
    group.kill(0)
    until(lambda: flavour(client).run("generate", "hi") and addresses(client) == group.urls[1:])


def test_many_threads_may_be_the_first(group, client, resolver):
    with ThreadPoolExecutor(16) as threads:
        results = [threads.submit(client.generate, "hi") for _ in range(16)]
        assert all(result.result(60).text for result in results)
    with counts_return_to_zero(client):
        pass


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")


@ipv6
@pytest.mark.parametrize("second", ["::1", "::1%lo"])
def test_both_families_may_mix(resolver, flavour, second):
    resolver.addresses = ["127.0.0.1", second]
    for _ in range(20):
        port = free_port("127.0.0.1")
        try:
            with EndpointGroup(hosts=["127.0.0.1", "::1"], port=port) as group:
                with StreamingClient(
                    "gpt.streaming", f"dns:///triton.test:{port}", balancing="round-robin"
                ) as client:
                    for _ in range(6):
                        assert flavour(client).run("generate", "hi").text
                    assert group.shares == [3, 3]
        except OSError:
            continue
        return


def test_a_server_client_answers_for_each_address(group, resolver):
    with ServerClient(url(group)) as client:
        assert sorted(client.each()) == group.urls[:2]
        assert all(each.is_ready() for each in client.each().values())
        group.kill(0)
        assert {address: each.is_live() for address, each in client.each().items()} == {
            group.urls[0]: False,
            group.urls[1]: True,
        }


def test_a_closed_client_looks_nothing_up(group, resolver, soon, flavour):
    client = StreamingClient("gpt.streaming", url(group))
    client.generate("hi")
    for server in group:
        server.reply = ["x", silence()]
    stream = client.stream("hi")
    next(stream)
    client.close()
    threading.Event().wait(0.1)
    asked = resolver.asked
    threading.Event().wait(0.3)
    assert resolver.asked == asked
    with pytest.raises(StreamClosedError):
        next(stream)
    assert not any(running(client))
