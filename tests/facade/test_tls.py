"""TLS with real certificates: what is trusted, who is let in, and what is said when it does not work."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
import trustme

from nupic_client import TLS, ConfigurationError, ConnectionFailedError, ServerClient, StreamingClient
from nupic_client._core.kserve import wire
from nupic_client.testing import FakeTriton

pytestmark = pytest.mark.fake_only("the real server runs without TLS here")

AUTHORITY = trustme.CA()
OTHER_AUTHORITY = trustme.CA()
ROOTS = AUTHORITY.cert_pem.bytes()


def server_credentials(certificate, *, clients=None):
    """Return credentials of a server that demands certificates of its clients if an authority for those is given."""
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    roots = None if clients is None else clients.cert_pem.bytes()
    return grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), chain)], roots, require_client_auth=clients is not None
    )


@contextmanager
def serving(*names, authority=AUTHORITY, clients=None, **dates) -> Iterator[str]:
    """Serve with a certificate for these names; yield the url."""
    certificate = authority.issue_cert(*(names or ("127.0.0.1",)), **dates)
    credentials = server_credentials(certificate, clients=clients)
    with FakeTriton(["Hel", "lo"], credentials=credentials) as server:
        yield f"grpcs://{server.url}"


def client_certificate(authority=AUTHORITY):
    issued = authority.issue_cert("somebody@example.com")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    return {"certificate_chain": chain, "private_key": issued.private_key_pem.bytes()}


def read_with(read, url, tls=None):
    with StreamingClient("gpt.streaming", url, tls=tls) as client:
        return read(client, "hi")[1].text


def test_an_authority_of_ones_own_is_trusted(read):
    with serving() as url:
        assert read_with(read, url, TLS(root_certificates=ROOTS)) == "Hello"


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_certificates_may_be_files(read, kind, tmp_path):
    mine = {"root_certificates": ROOTS, **client_certificate()}
    for name, pem in mine.items():
        (tmp_path / name).write_bytes(pem)
    with serving(clients=AUTHORITY) as url:
        assert read_with(read, url, TLS(**{name: kind(tmp_path / name) for name in mine})) == "Hello"


def test_the_certificate_may_be_for_another_name_that_is_given(read):
    with serving("triton.internal") as url:
        assert read_with(read, url, TLS(root_certificates=ROOTS, target_name="triton.internal")) == "Hello"


def test_a_list_of_servers_is_checked_by_their_name(read):
    with serving() as first, serving() as second:
        assert read_with(read, [first, second], TLS(root_certificates=ROOTS)) == "Hello"


def test_mutual_tls_lets_a_known_client_in(read):
    with serving(clients=AUTHORITY) as url:
        assert read_with(read, url, TLS(root_certificates=ROOTS, **client_certificate())) == "Hello"


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_mutual_tls_shows_the_server_who_asks(flavour):
    seen = []

    def live(_request, context):
        seen.append(context.peer_identities())
        return wire.pb.ServerLiveResponse(live=True)

    handler = grpc.unary_unary_rpc_method_handler(
        live, wire.pb.ServerLiveRequest.FromString, wire.pb.ServerLiveResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ServerLive": handler})]
    )
    credentials = server_credentials(AUTHORITY.issue_cert("127.0.0.1"), clients=AUTHORITY)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    tls = TLS(root_certificates=ROOTS, **client_certificate())
    with ServerClient(f"grpcs://127.0.0.1:{port}", tls=tls) as client:
        assert client.is_live() if flavour == "sync" else asyncio.run(client.ais_live())
    server.stop(None).wait()
    assert seen == [[b"somebody@example.com"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "mine", [{}, client_certificate(OTHER_AUTHORITY)], ids=["no certificate", "of another authority"]
)
def test_mutual_tls_keeps_other_clients_out(read, mine):
    with serving(clients=AUTHORITY) as url, pytest.raises(ConnectionFailedError) as caught:
        read_with(read, url, TLS(root_certificates=ROOTS, **mine))
    assert "it may want TLS (a grpcs:// url) or a client certificate" in str(caught.value)


NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("server", "tls", "words"),
    [
        (
            {"authority": OTHER_AUTHORITY},
            TLS(root_certificates=ROOTS),
            "of an authority that is not trusted here",
        ),
        ({}, None, "of an authority that is not trusted here: give the authority that signed it"),
        ({"names": ["other.example"]}, TLS(root_certificates=ROOTS), "is for another name: use the name"),
        ({}, TLS(root_certificates=ROOTS, target_name="x.example"), r"or give it as TLS\(target_name=…\)"),
        (
            {"not_before": NOW - 2 * DAY, "not_after": NOW - DAY},
            TLS(root_certificates=ROOTS),
            "certificate has expired: it needs a new one",
        ),
        (
            {"not_before": NOW + DAY, "not_after": NOW + 2 * DAY},
            TLS(root_certificates=ROOTS),
            "not valid yet: compare the clocks",
        ),
        ({}, TLS(root_certificates=b"not PEM"), "check that they are PEM"),
        (
            {"clients": AUTHORITY},
            TLS(
                root_certificates=ROOTS,
                **{**client_certificate(), "private_key": client_certificate()["private_key"]},
            ),
            "that private_key is the key of certificate_chain",
        ),
    ],
    ids=["authority", "system's roots", "host", "target name", "expired", "not yet", "no PEM", "wrong key"],
)
def test_a_certificate_problem_is_an_error_that_says_what_to_do(read, server, tls, words):
    server = dict(server)
    with serving(*server.pop("names", []), **server) as url:
        with pytest.raises(ConnectionFailedError, match=words) as caught:
            read_with(read, url, tls)
    error = caught.value
    assert (error.retryable, len(error.attempts), error.status) == (False, 1, "UNAVAILABLE")
    assert error.server_message


def test_a_self_signed_certificate_is_an_error_that_says_so(read):
    # What an authority signs for itself is what `openssl req -x509` makes.
    key = AUTHORITY.private_key_pem.bytes()
    credentials = grpc.ssl_server_credentials([(key, ROOTS)])
    with FakeTriton(credentials=credentials) as server:
        url = f"grpcs://{server.url}"
        with pytest.raises(
            ConnectionFailedError, match=r"self-signed: give .* as TLS\(root_certificates=…\)"
        ):
            read_with(read, url)


def test_tls_to_a_server_without_it_says_so(read):
    with FakeTriton() as server, pytest.raises(ConnectionFailedError, match="does not speak TLS") as caught:
        read_with(read, f"grpcs://{server.url}", TLS(root_certificates=ROOTS))
    assert not caught.value.retryable


@pytest.mark.slow
def test_plain_text_to_a_server_with_tls_says_so(read):
    with serving() as url, pytest.raises(ConnectionFailedError, match=r"it may want TLS \(a grpcs:// url\)"):
        read_with(read, url.removeprefix("grpcs://"))


def test_a_file_that_cannot_be_read_is_an_error_before_sending(read, tmp_path):
    tls = TLS(root_certificates=tmp_path / "ca.pem")
    with pytest.raises(ConfigurationError, match=r"tls\.root_certificates: cannot read"):
        read_with(read, "grpcs://localhost:1", tls)


@pytest.mark.parametrize("ask", ["is_live", "ais_live", "wait", "await"])
def test_waiting_does_not_help_against_a_certificate(ask):
    with serving() as url, ServerClient(url) as client:
        with pytest.raises(ConnectionFailedError, match="of an authority that is not trusted here"):
            {
                "is_live": client.is_live,
                "ais_live": lambda: asyncio.run(client.ais_live()),
                "wait": client.wait_until_ready,
                "await": lambda: asyncio.run(client.await_until_ready()),
            }[ask]()
