"""TLS to several servers: each is checked by its own name, and those of a name by that."""

from __future__ import annotations

from contextlib import ExitStack

import grpc
import pytest
import trustme
from pool.conftest import counts_return_to_zero, states
from pool.test_names import Resolver

from nupic_client import TLS, ConfigurationError, ConnectionFailedError, StreamingClient
from nupic_client.local.kserve.address import free_port
from nupic_client.testing import FakeTriton

AUTHORITY, STRANGER = trustme.CA(), trustme.CA()
TRUST = TLS(root_certificates=AUTHORITY.cert_pem.bytes())


def server_of(host, name, *, port=0, authority=AUTHORITY):
    certificate = authority.issue_cert(name)
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    return FakeTriton(["Hel", "lo"], host=host, port=port, credentials=credentials)


def test_each_server_of_a_list_is_checked_by_its_own_name(flavour):
    with server_of("127.0.0.1", "127.0.0.1") as one, server_of("127.0.0.2", "127.0.0.2") as other:
        urls = [f"grpcs://{server.url}" for server in (one, other)]
        with StreamingClient("gpt.streaming", urls, tls=TRUST, balancing="round-robin") as client:
            with counts_return_to_zero(client):
                for _ in range(6):
                    assert flavour(client).run("generate", "hi").text == "Hello"
            assert [len(server.requests) for server in (one, other)] == [3, 3]


@pytest.mark.parametrize("fault", ["the other's name", "a stranger's"])
def test_one_with_a_wrong_certificate_gets_nothing_and_the_others_work(flavour, fault):
    name, authority = ("127.0.0.1", AUTHORITY) if fault == "the other's name" else ("127.0.0.2", STRANGER)
    with (
        server_of("127.0.0.1", "127.0.0.1") as one,
        server_of("127.0.0.2", name, authority=authority) as other,
    ):
        urls = [f"grpcs://{server.url}" for server in (one, other)]
        with StreamingClient("gpt.streaming", urls, tls=TRUST) as client:
            with counts_return_to_zero(client):
                for _ in range(8):
                    assert flavour(client).run("generate", "hi").endpoint == one.url
            assert states(client)[other.url] in {"quarantined", "unknown"}


def test_where_all_have_wrong_certificates_the_error_says_so(flavour):
    with ExitStack() as stack:
        servers = [stack.enter_context(server_of(f"127.0.0.{number}", "elsewhere.test")) for number in (1, 2)]
        urls = [f"grpcs://{server.url}" for server in servers]
        with StreamingClient("gpt.streaming", urls, tls=TRUST) as client:
            with counts_return_to_zero(client), pytest.raises(ConnectionFailedError) as caught:
                flavour(client).run("generate", "hi")
    assert "certificate" in str(caught.value)
    assert not caught.value.retryable
    assert len(caught.value.attempts) == 2


@pytest.fixture
def named(monkeypatch):
    """Two servers of one name, and their port."""
    import socket  # noqa: PLC0415

    monkeypatch.setattr(socket, "getaddrinfo", Resolver(["127.0.0.1", "127.0.0.2"]))
    port = free_port("127.0.0.1")
    with (
        server_of("127.0.0.1", "triton.test", port=port) as one,
        server_of("127.0.0.2", "triton.test", port=port) as other,
    ):
        yield (one, other), port


def test_the_servers_of_a_name_are_checked_by_it(named, flavour):
    servers, port = named
    with StreamingClient(
        "gpt.streaming", f"dns:///triton.test:{port}", tls=TRUST, balancing="round-robin"
    ) as client:
        with counts_return_to_zero(client):
            for _ in range(6):
                assert flavour(client).run("generate", "hi").text == "Hello"
        assert [len(server.requests) for server in servers] == [3, 3]


def test_the_wrong_name_is_refused(named, flavour):
    _, port = named
    tls = TLS(root_certificates=AUTHORITY.cert_pem.bytes(), target_name="other.test")
    with StreamingClient("gpt.streaming", f"dns:///triton.test:{port}", tls=tls) as client:
        with pytest.raises(ConnectionFailedError, match="certificate"):
            flavour(client).run("generate", "hi")


def test_secure_and_plain_servers_are_not_mixed():
    with pytest.raises(ConfigurationError, match="all grpcs"):
        StreamingClient("gpt", ["grpcs://a:1", "b:1"])
