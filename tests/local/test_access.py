"""Who can reach the embedded server, and who is let in. None of this needs the model: it is refused before."""

import contextlib
import warnings

import grpc
import pytest
from local.certificates import OTHER_AUTHORITY, ROOTS, pair
from local.raw_client import RawClient, request

from nupic_client import (
    TLS,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    LocalModelError,
    LocalServer,
    ServerClient,
)
from nupic_client._core.kserve import wire
from nupic_client.local import ExposedServerWarning, ServerTLS, TritonServer
from nupic_client.local.kserve.auth import is_authorized
from nupic_client.local.kserve.exposure import exposure
from nupic_client.local.triton.install import check_machine
from nupic_client.testing import FakeTriton

SECRET = "s3cr3t-t0k3n"
NO_MODEL = {"model_path": "no-such-file.gguf", "wait": False}
SERVERS = pytest.mark.parametrize("make", [LocalServer, TritonServer])


def local_server(**options):
    return LocalServer(**NO_MODEL, **options)


@contextlib.contextmanager
def told(*words):
    """Check that one warning is given, with these words."""
    with pytest.warns(ExposedServerWarning) as given:
        yield
    (warning,) = given
    assert [word for word in words if word not in str(warning.message)] == []


# --- who can reach it


@SERVERS
@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.0.1", "gpu.example", "", "localhost.example", "1.2"]
)
def test_another_address_than_loopback_needs_to_be_meant(make, host):
    with pytest.raises(ConfigurationError, match="give expose=True to let other machines in"):
        make(host)
    make(host, expose=True)


@pytest.mark.parametrize("host", [None, "127.0.0.1", "localhost", "127.0.0.5"])
def test_loopback_is_the_default_and_gives_no_warning(host):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with local_server(host=host) as server, ServerClient(server.url) as client:
            assert client.is_live()


def test_an_exposed_server_listens_on_every_address():
    with told("every machine that reaches an address of this one CAN USE IT", "NO TOKEN AND NO TLS"):
        server = local_server(expose=True).start()
    assert server._host == "0.0.0.0"
    with ServerClient(server.url) as client:
        assert client.is_live()
    server.stop()


def test_a_server_that_could_be_exposed_but_is_not_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        local_server(host="127.0.0.1", expose=True).start().stop()


@pytest.mark.parametrize(
    ("protection", "words"),
    [
        ({}, ["CAN USE IT", "reads every text", "NO TOKEN AND NO TLS"]),
        ({"token": True}, ["a token is wanted", "TLS is off", "WHO LISTENS ON THE WAY READS IT"]),
        ({"tls": True}, ["CAN USE IT", "TLS is on, but no token is wanted"]),
        ({"tls": True, "token": True}, ["use it with the token", "TLS is on"]),
        ({"tls": True, "mutual": True}, ["with a certificate of an authority that is trusted here"]),
        ({"tls": True, "token": True, "mutual": True}, ["with the token and a certificate of an authority"]),
    ],
)
def test_the_warning_says_who_and_with_what(protection, words):
    given = {"tls": False, "token": False, **protection}
    text = exposure("10.0.0.7", **given)
    assert "every machine that reaches 10.0.0.7 " in text
    assert [word for word in words if word not in text] == []
    assert "every machine that reaches gpu.example " in exposure("gpu.example", **given)
    assert "an address of this one" in exposure("0:0:0:0:0:0:0:0", **given)
    assert exposure("127.0.0.1", **given) == ""


def test_the_warning_names_the_protection_of_the_server():
    tls = ServerTLS(**pair(), client_authorities=ROOTS)
    with told("use it with the token and a certificate", "TLS is on"):
        local_server(expose=True, tls=tls, bearer_token=SECRET).start().stop()


# --- TLS


def test_a_server_with_tls(tmp_path):
    files = {}
    for name, pem in pair().items():
        files[name] = tmp_path / name
        files[name].write_bytes(pem)
    with local_server(tls=ServerTLS(**files)) as server:
        assert server.url.startswith("grpcs://127.0.0.1:")
        with ServerClient(server.url, tls=TLS(root_certificates=ROOTS)) as client:
            assert client.is_live()
        with ServerClient(server.url.removeprefix("grpcs://")) as client:
            with pytest.raises(ConnectionFailedError, match="it may want TLS"):
                client.models()


@pytest.mark.parametrize(
    ("mine", "let_in"),
    [(pair("me@example.com"), True), ({}, False), (pair("me@example.com", authority=OTHER_AUTHORITY), False)],
    ids=["known", "none", "of another authority"],
)
def test_a_server_that_wants_certificates_of_its_clients(mine, let_in):
    with local_server(tls=ServerTLS(**pair(), client_authorities=ROOTS)) as server:
        with ServerClient(server.url, tls=TLS(root_certificates=ROOTS, **mine)) as client:
            if let_in:
                assert client.models()
            else:
                with pytest.raises(ConnectionFailedError, match="client certificate"):
                    client.models()


BROKEN = {
    "no PEM": {"certificate_chain": b"x", "private_key": b"y"},
    "key of another": {**pair(), "private_key": pair()["private_key"]},
    "swapped": dict(zip(("private_key", "certificate_chain"), pair().values(), strict=True)),
    "no authority": {**pair(), "client_authorities": b"x"},
    "empty": {"certificate_chain": b"", "private_key": b""},
}


@SERVERS
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_certificates_that_cannot_be_used_are_an_error_that_says_so(make, broken):
    if make is TritonServer:
        try:
            check_machine()
        except LocalModelError as error:
            pytest.skip(str(error))
    with pytest.raises(
        ConfigurationError, match="tls cannot be used: check that the certificates and the key are PEM"
    ):
        make(tls=ServerTLS(**broken)).start()


def test_a_certificate_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"tls\.certificate_chain: cannot read '.*nothing\.pem'"):
        local_server(tls=ServerTLS(certificate_chain=tmp_path / "nothing.pem", private_key=b"")).start()


def test_a_key_is_not_shown():
    assert "PRIVATE" not in repr(ServerTLS(**pair()))


# --- tokens


@pytest.mark.parametrize("token", [SECRET, [SECRET, "an0ther"], {SECRET}])
def test_a_server_with_a_token(token):
    with local_server(bearer_token=token) as server:
        with ServerClient(server.url, bearer_token=SECRET) as client:
            assert client.models()
        for wrong in (None, "wrong", f"{SECRET}x", SECRET[:-1]):
            with ServerClient(server.url, bearer_token=wrong) as client:
                with pytest.raises(AuthenticationError, match="the token is missing or not valid") as caught:
                    client.is_live()
            assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", [*wire.METHODS, "NoSuchMethod"])
def test_every_call_needs_the_token(name):
    """Also those about health, those that do not exist, and before anything of their message is read."""
    with FakeTriton(bearer_tokens={SECRET}) as server, RawClient(server.url) as client:
        call = client.channel.stream_stream(wire.method_path(name))
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter([b"\xff no message"]), timeout=30))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert not server.requests


@pytest.mark.parametrize(
    ("header", "right"),
    [
        (f"Bearer {SECRET}", True),
        (f"bearer {SECRET}", True),
        (SECRET, False),
        (f"Basic {SECRET}", False),
        (f"Bearer  {SECRET}", False),
        (f"Bearer {SECRET} ", False),
        ("Bearer", False),
        ("Bearer ", False),
        ("Bearer ü", False),
        (b"Bearer bytes", False),
    ],
)
def test_how_a_token_may_come(header, right):
    assert is_authorized({"authorization": header}, ["x", SECRET]) is right
    assert not is_authorized({"authorization": header}, [])


def test_a_call_without_metadata_has_no_token():
    assert not is_authorized({}, [SECRET])


@pytest.mark.parametrize("token", ["", "with blank", f"{SECRET}\n", [], ["good", ""]])
def test_a_token_that_no_client_could_send_is_an_error_that_does_not_show_it(token):
    with pytest.raises(ConfigurationError, match="token") as caught:
        LocalServer(bearer_token=token)
    assert SECRET not in str(caught.value)


def test_an_answer_needs_both_the_token_and_the_model():
    with local_server(bearer_token=SECRET) as server, RawClient(server.url) as client:
        call = client.stream(
            request(model="smollm2.streaming"), metadata=[("authorization", f"Bearer {SECRET}")]
        )
        assert "has no available versions" in next(call).error_message
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            list(client.stream(request(model="smollm2.streaming")))
